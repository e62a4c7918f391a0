"""From stored records to what a view or a notebook is given."""
