"""Pure statistics over stored results and probabilities."""
