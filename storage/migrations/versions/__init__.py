"""One module per revision; `storage.schema.REVISIONS` lists them."""
