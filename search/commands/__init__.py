"""What the commands ask for and do, with nothing printed."""
