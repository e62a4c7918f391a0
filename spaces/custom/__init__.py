"""A custom model, `file.py:build`: its file, its parameters, and how it is built."""
