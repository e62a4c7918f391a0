"""The tables of one study, whose id is 1: in a file, or in a schema of a server, which holds one for each study.

A change here needs a migration in `migrations/versions` and its name at the end of `REVISIONS`; a test compares."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
)
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import TypeEngine

from storage.codec import JSON_TEXT, NULL_OR_JSON, TEXT, Array
from storage.records import TrialState

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every revision of the tables, oldest first, as Alembic names them. This program reads the last."""

HEAD = REVISIONS[-1]

APPLICATION_ID = 0x53534541
"""SQLite's `application_id` ('SSEA'): the header alone tells that a file is a study's."""

STUDY_ID = 1  # a database holds one study

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _column(
    name: str, kind: type[TypeEngine[Any]] | TypeEngine[Any], comment: str, *, null: bool = False
) -> Column[Any]:
    return Column(name, kind, nullable=null, comment=comment)


def _key(name: str, comment: str) -> Column[Any]:
    return Column(name, Integer, primary_key=True, autoincrement=False, comment=comment)


def _to(target: str, **columns: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(list(columns), [f"{target}.{column}" for column in columns.values()])


version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), primary_key=True, comment="revision of these tables; Alembic's own table"),
)

study = Table(
    "study",
    metadata,
    _key("id", "1 in a file"),
    _column("name", TEXT, "shown to people"),
    _column("created", TEXT, "ISO 8601, UTC"),
    _column("seed", BigInteger, "every other seed is derived from it"),
    _column("metric", TEXT, "name of the metric that the search optimises"),
    _column("classes", JSON_TEXT, "class names; a label is an index into them"),
    _column("image_shape", JSON_TEXT, "height, width and channels of the pixel array, in pixels"),
    _column("fingerprint", TEXT, "SHA-256 (hex) of all pixels, labels and names"),
    _column("config", JSON_TEXT, "the settings that decide results"),
    _column("space", JSON_TEXT, "the space as searched"),
    _column("notes", JSON_TEXT, "sentences about the images; null: written by a release without notes", null=True),
)

image = Table(
    "image",
    metadata,
    _key("study", "study.id"),
    _key("row", "0-based row in the pixel array"),
    _column("path", TEXT, "relative to the image folder, '/' between parts"),
    _column("label", Integer, "index into study.classes"),
    _column("testing", Boolean, "from a testing folder: in no fold"),
    _column("digest", TEXT, "SHA-256 (hex) of the decoded pixels"),
    _to("study", study="id"),
)

split = Table(
    "split",
    metadata,
    _key("study", "study.id"),
    _key("repeat", "0: the search; 1 and on: confirming on new folds"),
    _column("assignment", Array("int16", 1), "[images] int16, compressed: fold that validates the image, -1: none"),
    _to("study", study="id"),
)

run = Table(
    "run",
    metadata,
    _key("study", "study.id"),
    _key("number", "0-based, in order of start"),
    _column("started", TEXT, "ISO 8601, UTC"),
    _column("command", TEXT, "as typed"),
    _column("versions", JSON_TEXT, "package -> version"),
    _column("host", TEXT, "host name"),
    _column("pid", BigInteger, "process id on the host"),
    _column("seconds", Float, "monotonic seconds since the start, as of the last commit"),
    _column("outcome", TEXT, "finished, stopped or failed; null: still running, or died", null=True),
    _to("study", study="id"),
)

trial = Table(
    "trial",
    metadata,
    _key("study", "study.id"),
    _key("number", "0-based; 0 is the baseline"),
    _column("run", Integer, "run.number that proposed it"),
    _column("params", JSON_TEXT, "parameter -> value; active parameters only"),
    _column("origin", TEXT, "baseline, start, try, sampler or smaller"),
    _column("state", TEXT, "running, complete, pruned or failed"),
    _column("cause", TEXT, "of a failed or pruned trial, short and countable", null=True),
    _column("detail", TEXT, "the cause in a sentence", null=True),
    _column("parameters", BigInteger, "of the model; null before it was built", null=True),
    _column("layers", JSON_TEXT, "the model's layers, for drawing: name, kind, shape, parameters, detail"),
    _column("redraws", Integer, "points refused before this one was taken"),
    _column("started", TEXT, "ISO 8601, UTC"),
    _column("finished", TEXT, "ISO 8601, UTC; null while running", null=True),
    _to("study", study="id"),
    _to("run", study="study", run="number"),
    CheckConstraint(f"state IN ({', '.join(repr(str(s)) for s in TrialState)})", name="state"),
)

fold_run = Table(
    "fold_run",
    metadata,
    # The primary key is the UNIQUE (study, trial, repeat, fold) that makes a replayed commit harmless.
    _key("study", "study.id"),
    _key("trial", "trial.number"),
    _key("repeat", "split.repeat"),
    _key("fold", "0-based fold that validated"),
    _column("run", Integer, "run.number that trained it"),
    _column("seed", BigInteger, "of this fold run"),
    _column("scores", JSON_TEXT, "metric -> value on the validation part, at best_epoch"),
    _column("epochs", Integer, "epochs trained"),
    _column("best_epoch", Integer, "1-based epoch whose weights gave scores and probabilities"),
    _column("parameters", BigInteger, "of the model"),
    _column("seconds", Float, "wall seconds of the fold run"),
    _column("latency", Float, "milliseconds an image to predict; null: not measured", null=True),
    _column(
        "diagnosis",
        NULL_OR_JSON,
        "why it did not learn: symptom, cause, evidence, change; null: it did",
        null=True,
    ),
    _column("curve", JSON_TEXT, "series -> one value an epoch; 'val_' before validation"),
    # Last, so that reading the columns before it does not touch its pages.
    _column("probabilities", Array("float32", 2), "[validation images, classes] float32, compressed"),
    _to("trial", study="study", trial="number"),
    _to("split", study="study", repeat="repeat"),
    _to("run", study="study", run="number"),
)

reference_fold = Table(
    "reference_fold",
    metadata,
    _key("study", "study.id"),
    Column("name", TEXT, primary_key=True, comment="the method: majority, logistic_regression or linear_probe"),
    _key("fold", "0-based fold of repeat 0 that validated"),
    _column("run", Integer, "run.number that fitted it"),
    _column("scores", JSON_TEXT, "metric -> value on the validation part"),
    _column("seconds", Float, "wall seconds"),
    _column("probabilities", Array("float32", 2), "[validation images, classes] float32, compressed"),
    _to("run", study="study", run="number"),
)

choice = Table(
    "choice",
    metadata,
    _key("study", "study.id"),
    _key("number", "0-based; the last one is valid"),
    _column("run", Integer, "run.number that made it"),
    _column("made", TEXT, "ISO 8601, UTC"),
    _column("trial", Integer, "trial.number that was chosen"),
    _column("members", JSON_TEXT, "[trial.number, weight] of each model in the saved file; weights add up to 1"),
    _column("pool", JSON_TEXT, "trial.number of the trials from which members were selected, best first"),
    _column("folds", Integer, "number of fold runs when it was made; if there are more now, it is out of date"),
    _column("seconds", Float, "wall seconds of training on all images and saving"),
    _column("probabilities", Array("float32", 2), "[testing images, classes] float32; null: there are none", null=True),
    _to("run", study="study", run="number"),
    _to("trial", study="study", trial="number"),
)


def of_run(number: int) -> ColumnElement[bool]:
    """Which row of `run` it is."""
    return (run.c.study == STUDY_ID) & (run.c.number == number)


def of_trial(number: int) -> ColumnElement[bool]:
    """Which row of `trial` it is."""
    return (trial.c.study == STUDY_ID) & (trial.c.number == number)


def folds_of(number: int) -> ColumnElement[bool]:
    """Which rows of `fold_run` belong to a trial."""
    return (fold_run.c.study == STUDY_ID) & (fold_run.c.trial == number)
