"""`study.db`, or the study on a server that it is a link to: created for a new study, opened for one that has begun."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.check import notes_for_report
from search.data.folds import draw_folds, image_records, not_validated
from search.data.origin import name_of_set
from search.errors import UsageError
from search.seeds import derive
from search.stats.metrics import max_scores
from search.study.config import Config
from search.study.folder import StudyFolder
from search.study.identity import check_same
from search.study.prepared import Prepared
from search.text import command_line
from storage import ServerUrl, Split, Store, StudyRecord, is_on_server, link, name_for


def create(folder: StudyFolder, prepared: Prepared) -> Store:
    """Create the database of a new study: images, folds (drawn once), settings, space."""
    images, seed, folds = prepared.images, prepared.config.seed, folds_of(prepared, 0)
    unjudged = not_validated(images.labels, folds, images.classes)
    height, width, channels = images.pixels.shape[1:]
    record = StudyRecord(
        name=name_of_set(prepared.config.origin(folder.path).roots),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        metric=prepared.config.metric,
        classes=images.classes,
        image_shape=(height, width, channels),
        fingerprint=images.fingerprint,
        config=prepared.identity,
        space=prepared.space.to_json(),
        notes=tuple(filter(None, (*notes_for_report(images, prepared.checked), unjudged))),
    )
    server = server_of(folder, prepared.config)
    return Store.create(folder.database, record, image_records(images), [Split(0, folds)], server)


def server_of(folder: StudyFolder, config: Config) -> ServerUrl | None:
    """Where the settings want the study; None: in the folder. Its name there is that of the URL, else the folder's.

    Raises UsageError if that name cannot be.
    """
    if config.storage is None:
        return None
    url, parent = ServerUrl.parse(config.storage), folder.parent
    name = url.study or name_for(parent.path.resolve().name)
    try:
        return url.of_study(name if parent == folder else f"{name}-{folder.path.name}")
    except ValueError as error:
        raise UsageError(f"storage: {error}") from None


def place_of_study(folder: StudyFolder, config: Config) -> Path | ServerUrl | None:
    """Where the stored study is: in its folder, else on the server of the settings; None: nowhere yet."""
    if folder.begun:
        return folder.database
    wanted = server_of(folder, config)
    return wanted if wanted is not None and is_on_server(wanted) else None


def folds_of(prepared: Prepared, repeat: int) -> NDArray[np.int16]:
    """[images] the fold that validates each image in a repeat, -1: none; 0 is the search itself."""
    grouping, seed = prepared.checked.grouping, derive(prepared.config.seed, "folds", repeat)
    images = prepared.images
    return draw_folds(images.labels, grouping.excluded, prepared.folds, seed, grouping.units, images.classes)


def open_begun(folder: StudyFolder, prepared: Prepared) -> Store | None:
    """The study's database, open for writing; None if no trial was stored yet.

    A study that is on the server of the settings, but not linked to, is continued if it is the same: it was copied
    there, or a session was killed between making it and the link.

    A database without a trial has no results to protect and is deleted: settings that kept the baseline from being
    trained can then be corrected. Raises UsageError if the stored study differs from the requested one.
    """
    linked_now = _check_place(folder, prepared)
    if not folder.begun:
        return None
    with contextlib.ExitStack() as stack:
        if linked_now:
            stack.callback(folder.database.unlink, missing_ok=True)
        store = stack.enter_context(Store.open(folder.database, max_scores=max_scores()))
        if store.has_trials():
            check_same(store, prepared)
            stack.pop_all()
            return store
        store.remove()  # while it is held: nobody can have begun with it meanwhile
    return None


def _check_place(folder: StudyFolder, prepared: Prepared) -> bool:
    """Link to the study that is on the server already; whether that was done. Raises UsageError if it is another study.

    Raises it also if the study is kept elsewhere.
    """
    wanted = server_of(folder, prepared.config)
    if wanted is None:
        return False
    if folder.begun:
        if folder.server != wanted:
            there = folder.server or f"{folder.database}, a file"
            raise UsageError(
                f"storage: the results of {folder} are in {there}, and not in {wanted}; to have them there: "
                f"`{command_line('copy', folder.path, str(wanted))}`, then rename {folder.database.name} and run again"
            )
    elif is_on_server(wanted):
        with Store.open(wanted, read_only=True, max_scores=max_scores()) as store:
            try:
                check_same(store, prepared)
            except UsageError as error:
                raise UsageError(
                    f"storage: {wanted} is another study, of which this one would be a continuation. Give another "
                    f'name: storage = "{wanted.where}/NAME"\n{error}'
                ) from None
        folder.make()
        link(folder.database, wanted)
        return True
    return False
