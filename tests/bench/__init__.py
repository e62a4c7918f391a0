"""What it costs, as ratios from one run in which the sides take turns; `make bench` runs it."""
