"""Stands before the package of this name on the path, and has no weights: see `tests/commands.py`."""
