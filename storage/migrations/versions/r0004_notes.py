"""What a person should know of the images, a sentence each, so that the report can repeat it. Null: not looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("study", recreate="always") as batch:
        batch.add_column(sa.Column("notes", sa.JSON, nullable=True))
