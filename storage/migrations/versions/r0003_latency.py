"""The time in which a fold's model predicts an image, for a search that also minimises it.

The column is before `probabilities`: SQLite would read through all of those to reach a column after them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("fold_run", recreate="always") as batch:
        batch.add_column(sa.Column("latency", sa.Float, nullable=True), insert_after="seconds")
