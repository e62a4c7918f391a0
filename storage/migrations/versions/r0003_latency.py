"""How long a fold's model takes to predict an image, for a search that minimises it too.

The column stands before `probabilities`: SQLite would walk through all of those to a column after them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("fold_run", recreate="always") as batch:
        batch.add_column(sa.Column("latency", sa.Float, nullable=True), insert_after="seconds")
