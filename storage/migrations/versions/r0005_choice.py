"""A table of choices whose models were saved."""

import sqlalchemy as sa
from alembic import op

from storage.codec import Array

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "choice",
        sa.Column("study", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("made", sa.Text, nullable=False),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("members", sa.JSON, nullable=False),
        sa.Column("pool", sa.JSON, nullable=False),
        sa.Column("folds", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("probabilities", Array("float32", 2), nullable=True),
        sa.PrimaryKeyConstraint("study", "number", name="pk_choice"),
        sa.ForeignKeyConstraint(["study", "run"], ["run.study", "run.number"], name="fk_choice_study_run"),
        sa.ForeignKeyConstraint(["study", "trial"], ["trial.study", "trial.number"], name="fk_choice_study_trial"),
    )
