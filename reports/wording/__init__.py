"""Numbers and findings in words, the same in the terminal and on the page."""
