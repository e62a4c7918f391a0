"""From stored records to the values that views and notebooks show."""
