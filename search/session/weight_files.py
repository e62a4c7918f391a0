"""The files of networks between training and the saved model: kept weights of fold runs, and packed models."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from search.jobs import STATE, FitOptions, FoldJob, Saving, remove
from search.manifest import PACKAGING
from search.study.folder import StudyFolder
from storage import OUT_OF_TIME, Params, Store, TrialRecord, TrialState

STATE_SECONDS = 60.0  # between two writes of a fold run's state
KEPT_TRIALS = 3  # whose fold runs' weights stay on disk: the best ones


def weights_of(folder: StudyFolder, number: int, fold: int, seed: int, params: Params, fingerprint: str) -> Path:
    """Where a fold run keeps its weights: a name with a hash of what decides them."""
    digest = _digest([number, fold, seed, dict(params), fingerprint])
    return (folder.refits / f"trial-{number}-fold-{fold}-{digest}.npz").absolute()


def model_of(folder: StudyFolder, job: FoldJob, options: FitOptions, fingerprint: str) -> Path:
    """Where the packed model of a training on all images, or of a fold, is written."""
    digest = _digest([job.trial, dict(job.params), job.seed, vars(options), fingerprint, PACKAGING])
    return (folder.refits / f"trial-{job.trial}-{digest}.keras").absolute()


def forget(folder: StudyFolder, numbers: Iterable[int]) -> None:
    """Remove the kept weights of these trials."""
    for number in numbers:
        for path in folder.refits.glob(f"trial-{number}-fold-*.npz"):
            path.unlink(missing_ok=True)


def saving_in(folder: StudyFolder, states: Path, fingerprint: str) -> Saving | None:
    """How fold runs store their state in `states`, a folder of the study; None where it leads elsewhere."""
    return Saving(states.absolute(), fingerprint, STATE_SECONDS) if folder.contains(states) else None


def sweep_states(saving: Saving | None, store: Store, *, chosen: bool) -> None:
    """Remove the states of fold runs that no session goes on with. Only while the study is locked.

    Those of open trials stay, also if these are only out of time; of complete ones too (they are confirmed, or trained
    again for the model: on all images, or as in a fold that is stored), unless the model is `chosen` from all results.
    """
    paths = list(saving.folder.glob(f"*{STATE}")) if saving else []
    by_number = {trial.number: trial for trial in store.trials(curves=False)} if paths else {}
    for path in paths:
        number, repeat, fold, seed = ([*map(_number, path.name.split("-")[:4])] + [-1] * 4)[:4]
        trial = by_number.get(number)
        if trial is None or not (
            _lacks(trial, repeat, fold, seed) or (trial.state == TrialState.COMPLETE and not chosen)
        ):
            remove([path])


def _lacks(trial: TrialRecord, repeat: int, fold: int, seed: int) -> bool:
    """Whether the search goes on with this trial, and the fold run is not stored yet."""
    goes_on = trial.state == TrialState.RUNNING or trial.cause == OUT_OF_TIME
    return goes_on and (repeat, fold, seed) not in {(f.repeat, f.fold, f.seed) for f in trial.folds}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def is_intact(archive: Path) -> bool:
    """Whether a .keras or .npz file exists and the checksum of each of its parts is correct."""
    try:
        with zipfile.ZipFile(archive) as parts:
            return parts.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return False


def _digest(key: list[object]) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
