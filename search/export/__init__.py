"""The chosen model outside of its study."""
