"""What people bring, tried with the real commands: one row for each kind of input that once went wrong.

`python -m tests.cases [NUMBER…]` prints the table and ends with 1 if a row is wrong. The inputs are made by code.
"""
