"""The commands: typed arguments, typed results, nothing printed."""
