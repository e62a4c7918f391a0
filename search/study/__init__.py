"""The study folder and what was asked of it."""
