"""Studies that were made by an earlier state of the code, kept to see that a later one goes on with them.

`python -m tests.kept.make` makes them anew; `tests/test_kept.py` goes on with copies of them. Nothing in this folder
imports the code that it tests, but through the command `search`: so it stays as it is whatever is moved.
"""
