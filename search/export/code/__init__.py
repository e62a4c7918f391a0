"""The winner as plain Keras code, which needs nothing of this project."""
