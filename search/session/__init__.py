"""One run of a study, from checked settings to a chosen model."""
