"""One module a revision; `storage.schema.REVISIONS` lists them."""
