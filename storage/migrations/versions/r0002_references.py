"""A table of reference rows: plain methods on the folds of the search."""

import sqlalchemy as sa
from alembic import op

from storage.codec import Array

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "reference_fold",
        sa.Column("study", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("fold", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("probabilities", Array("float32", 2), nullable=False),
        sa.PrimaryKeyConstraint("study", "name", "fold", name="pk_reference_fold"),
        sa.ForeignKeyConstraint(["study", "run"], ["run.study", "run.number"], name="fk_reference_fold_study_run"),
    )
