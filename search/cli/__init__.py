"""The commands that are not in `cli.py`, and what all of them use."""
