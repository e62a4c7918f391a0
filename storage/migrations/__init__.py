"""Alembic migrations, run by `storage.upgrade` on its own connection."""
