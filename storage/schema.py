"""The tables. Every row belongs to a study, so that a server could hold several; a file holds one, with id 1.

A change here needs a migration in `migrations/versions` and its name at the end of `REVISIONS`; a test compares."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
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
    Text,
)
from sqlalchemy.types import TypeEngine

from storage.codec import Array
from storage.records import TrialState

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every revision of the tables, oldest first, as Alembic names them. This program reads the last."""

HEAD = REVISIONS[-1]

APPLICATION_ID = 0x53534541
"""SQLite's `application_id` ('SSEA'): the header alone tells that a file is a study's."""

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
    _column("name", Text, "shown to people"),
    _column("created", Text, "ISO 8601, UTC"),
    _column("seed", BigInteger, "every other seed is derived from it"),
    _column("metric", Text, "name of the metric that the search optimises"),
    _column("classes", JSON, "class names; a label is an index into them"),
    _column("image_shape", JSON, "height, width and channels of the pixel array, in pixels"),
    _column("fingerprint", Text, "SHA-256 (hex) of all pixels, labels and names"),
    _column("config", JSON, "the settings that decide results"),
    _column("space", JSON, "the space as searched"),
    _column("notes", JSON, "sentences about the images; null: written by a release without notes", null=True),
)

image = Table(
    "image",
    metadata,
    _key("study", "study.id"),
    _key("row", "0-based row in the pixel array"),
    _column("path", Text, "relative to the image folder, '/' between parts"),
    _column("label", Integer, "index into study.classes"),
    _column("testing", Boolean, "from a testing folder: in no fold"),
    _column("digest", Text, "SHA-256 (hex) of the decoded pixels"),
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
    _column("started", Text, "ISO 8601, UTC"),
    _column("command", Text, "as typed"),
    _column("versions", JSON, "package -> version"),
    _column("host", Text, "host name"),
    _column("pid", BigInteger, "process id on the host"),
    _column("seconds", Float, "monotonic seconds since the start, as of the last commit"),
    _column("outcome", Text, "finished, stopped or failed; null: still running, or died", null=True),
    _to("study", study="id"),
)

trial = Table(
    "trial",
    metadata,
    _key("study", "study.id"),
    _key("number", "0-based; 0 is the baseline"),
    _column("run", Integer, "run.number that proposed it"),
    _column("params", JSON, "parameter -> value; active parameters only"),
    _column("origin", Text, "baseline, start, try, sampler or smaller"),
    _column("state", Text, "running, complete, pruned or failed"),
    _column("cause", Text, "of a failed or pruned trial, short and countable", null=True),
    _column("detail", Text, "the cause in a sentence", null=True),
    _column("parameters", BigInteger, "of the model; null before it was built", null=True),
    _column("layers", JSON, "the model's layers, for drawing: name, kind, shape, parameters, detail"),
    _column("redraws", Integer, "points refused before this one was taken"),
    _column("started", Text, "ISO 8601, UTC"),
    _column("finished", Text, "ISO 8601, UTC; null while running", null=True),
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
    _column("scores", JSON, "metric -> value on the validation part, at best_epoch"),
    _column("epochs", Integer, "epochs trained"),
    _column("best_epoch", Integer, "1-based epoch whose weights gave scores and probabilities"),
    _column("parameters", BigInteger, "of the model"),
    _column("seconds", Float, "wall seconds of the fold run"),
    _column("latency", Float, "milliseconds an image to predict; null: not measured", null=True),
    _column(
        "diagnosis",
        JSON(none_as_null=True),
        "why it did not learn: symptom, cause, evidence, change; null: it did",
        null=True,
    ),
    _column("curve", JSON, "series -> one value an epoch; 'val_' before validation"),
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
    Column("name", Text, primary_key=True, comment="the method: majority, logistic_regression or linear_probe"),
    _key("fold", "0-based fold of repeat 0 that validated"),
    _column("run", Integer, "run.number that fitted it"),
    _column("scores", JSON, "metric -> value on the validation part"),
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
    _column("made", Text, "ISO 8601, UTC"),
    _column("trial", Integer, "trial.number that was chosen"),
    _column("members", JSON, "[trial.number, weight] of each model in the saved file; weights add up to 1"),
    _column("pool", JSON, "trial.number of the trials from which members were selected, best first"),
    _column("folds", Integer, "number of fold runs when it was made; if there are more now, it is out of date"),
    _column("seconds", Float, "wall seconds of training on all images and saving"),
    _column("probabilities", Array("float32", 2), "[testing images, classes] float32; null: there are none", null=True),
    _to("run", study="study", run="number"),
    _to("trial", study="study", trial="number"),
)
