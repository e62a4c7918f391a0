"""Benchmarks: times and ratios, from one run in which the sides take turns; `make bench` runs them."""
