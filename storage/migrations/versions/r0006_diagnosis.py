"""Why a fold run's network did not learn.

The column is before `probabilities`: SQLite would read through all of those to reach a column after them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("fold_run", recreate="always") as batch:
        batch.add_column(sa.Column("diagnosis", sa.JSON, nullable=True), insert_after="latency")
