"""Views of what a study found: words, the terminal, pages, plain data."""
