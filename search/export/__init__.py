"""The model outside of its study."""
