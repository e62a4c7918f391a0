"""Creates a study's database. Its name exists only when it is complete."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, insert

from storage import rows, schema
from storage.engine import mask_password
from storage.errors import StorageError
from storage.records import ImageRecord, Split, StudyRecord
from storage.sqlite import connect, explained, has_unmerged_commits, make_engine, settle, sidecar


def create(path: Path, study: StudyRecord, images: Sequence[ImageRecord], splits: Sequence[Split]) -> None:
    """Builds the file under a temporary name in the same folder. A crash leaves at most the hidden `.NAME.….new`."""
    if problem := problem_of(study, images, splits):
        raise StorageError(f"{mask_password(path)}: not created: {problem}")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        with explained(path, writing=True):
            if path.exists():
                raise StorageError(f"{mask_password(path)}: exists already and was not changed.")
            partial.touch(exist_ok=False)
            _fill(partial, study, images, splits)
            settle(partial, path)
    finally:
        for leftover in (partial, sidecar(partial, "-wal"), sidecar(partial, "-shm")):
            with suppress(OSError):
                leftover.unlink()


def _fill(file: Path, study: StudyRecord, images: Sequence[ImageRecord], splits: Sequence[Split]) -> None:
    engine = make_engine(file, "rw")
    try:
        with engine.execution_options(write=True).begin() as connection:
            create_tables(connection)
            insert_begin(connection, study, images, splits)
    finally:
        engine.dispose()  # the last connection to close merges the log into the file, but does not say if it cannot
    if has_unmerged_commits(file):
        with closing(connect(file, "rw")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # says what kept it: a disk that is full, say
    if has_unmerged_commits(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def create_tables(connection: Connection) -> None:
    """The tables of a new SQLite file as the newest migration leaves them (a test compares), without Alembic."""
    connection.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
    schema.metadata.create_all(connection)


def insert_begin(
    connection: Connection, study: StudyRecord, images: Sequence[ImageRecord], splits: Sequence[Split]
) -> None:
    """The rows with which every study begins, into new tables. The revision says that they are whole."""
    key = {"study": schema.STUDY_ID}
    connection.execute(insert(schema.study), {"id": schema.STUDY_ID, **rows.study_values(study)})
    connection.execute(insert(schema.image), [key | rows.image_values(image) for image in images])
    connection.execute(insert(schema.split), [key | rows.split_values(split) for split in splits])
    connection.execute(insert(schema.version), {"version_num": schema.HEAD})


def problem_of(study: StudyRecord, images: Sequence[ImageRecord], splits: Sequence[Split]) -> str | None:
    """What is wrong with the parts taken together, in words."""
    if not images or not splits:
        return f"{len(images)} images and {len(splits)} splits; at least one of each is needed."
    if [image.row for image in images] != list(range(len(images))):
        return f"the rows of the images must count from 0 to {len(images) - 1} in order."
    for image in images:
        if not 0 <= image.label < len(study.classes):
            return f"image {image.path!r} has label {image.label}; there are {len(study.classes)} classes."
    repeats = [split.repeat for split in splits]
    if repeats != list(range(len(splits))):
        return f"the repeats of the splits must count from 0 in order, found {repeats}."
    for split in splits:
        if split.assignment.shape != (len(images),) or split.assignment.dtype != np.int16:
            return (
                f"split {split.repeat} assigns {split.assignment.dtype} {split.assignment.shape}; "
                f"int16 ({len(images)},) expected, one fold an image."
            )
    return None
