"""Search for the best image classifier that a small data set can support."""
