"""The data set: read, checked, grouped and split. It knows of no study."""
