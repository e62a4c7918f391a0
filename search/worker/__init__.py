"""Everything that runs in a worker process. It never imports storage."""
