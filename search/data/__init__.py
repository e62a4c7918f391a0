"""The data set: read, checked, grouped and split. It does not know of studies."""
