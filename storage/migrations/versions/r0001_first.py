"""The first tables. They are not imported from `schema`, which changes; it also has the comments."""

import sqlalchemy as sa
from alembic import op

from storage.codec import Array

revision = "0001"
down_revision = None


def upgrade() -> None:
    _study()
    _run()
    _trial()
    _fold_run()


def _study() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("classes", sa.JSON, nullable=False),
        sa.Column("image_shape", sa.JSON, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("space", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
    )
    op.create_table(
        "image",
        sa.Column("study", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("row", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("label", sa.Integer, nullable=False),
        sa.Column("testing", sa.Boolean, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("study", "row", name="pk_image"),
        sa.ForeignKeyConstraint(["study"], ["study.id"], name="fk_image_study"),
    )
    op.create_table(
        "split",
        sa.Column("study", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("repeat", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("assignment", Array("int16", 1), nullable=False),
        sa.PrimaryKeyConstraint("study", "repeat", name="pk_split"),
        sa.ForeignKeyConstraint(["study"], ["study.id"], name="fk_split_study"),
    )


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("study", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("started", sa.Text, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("study", "number", name="pk_run"),
        sa.ForeignKeyConstraint(["study"], ["study.id"], name="fk_run_study"),
    )


def _trial() -> None:
    op.create_table(
        "trial",
        sa.Column("study", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=True),
        sa.Column("detail", sa.Text, nullable=True),
        sa.Column("parameters", sa.BigInteger, nullable=True),
        sa.Column("layers", sa.JSON, nullable=False),
        sa.Column("redraws", sa.Integer, nullable=False),
        sa.Column("started", sa.Text, nullable=False),
        sa.Column("finished", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("study", "number", name="pk_trial"),
        sa.ForeignKeyConstraint(["study"], ["study.id"], name="fk_trial_study"),
        sa.ForeignKeyConstraint(["study", "run"], ["run.study", "run.number"], name="fk_trial_study_run"),
        sa.CheckConstraint("state IN ('running', 'complete', 'pruned', 'failed')", name=op.f("ck_trial_state")),
    )


def _fold_run() -> None:
    op.create_table(
        "fold_run",
        sa.Column("study", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("trial", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("repeat", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("fold", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("epochs", sa.Integer, nullable=False),
        sa.Column("best_epoch", sa.Integer, nullable=False),
        sa.Column("parameters", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.Column("probabilities", Array("float32", 2), nullable=False),
        sa.PrimaryKeyConstraint("study", "trial", "repeat", "fold", name="pk_fold_run"),
        sa.ForeignKeyConstraint(["study", "trial"], ["trial.study", "trial.number"], name="fk_fold_run_study_trial"),
        sa.ForeignKeyConstraint(["study", "repeat"], ["split.study", "split.repeat"], name="fk_fold_run_study_repeat"),
        sa.ForeignKeyConstraint(["study", "run"], ["run.study", "run.number"], name="fk_fold_run_study_run"),
    )
