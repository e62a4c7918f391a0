"""Sentences for numbers and findings, the same in the terminal and on the page."""
