"""The files of networks between training and the saved model: kept weights of fold runs, and packed models."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from search.jobs import FitOptions, FoldJob
from search.manifest import PACKAGING
from search.study.folder import StudyFolder
from storage import Params

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


def is_intact(archive: Path) -> bool:
    """Whether a .keras or .npz file exists and the checksum of each of its parts is correct."""
    try:
        with zipfile.ZipFile(archive) as parts:
            return parts.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return False


def _digest(key: list[object]) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
