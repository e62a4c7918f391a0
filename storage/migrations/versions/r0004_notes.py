"""Sentences about the images, for the report. Null: written by a release without notes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("study", recreate="always") as batch:
        batch.add_column(sa.Column("notes", sa.JSON, nullable=True))
