"""Views as pages that need nothing else."""
