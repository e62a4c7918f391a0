"""What point to try next."""
