"""What can be measured so far; `make bench` runs it. Ratios from one run, the two sides taking turns."""
