"""A model of the user's own: its file, its parameters, and how it is built."""
