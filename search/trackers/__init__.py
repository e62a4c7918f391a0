"""A study written into an experiment tracker: the stored study is the truth, and a tracker only a copy of it."""
