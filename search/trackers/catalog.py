"""The trackers that there are: the names of `--log`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from search.errors import UsageError
from search.study.folder import StudyFolder
from search.text import installing
from search.trackers.base import Tracker
from search.trackers.mlflow import MlflowTracker
from search.trackers.runs import study_id
from search.trackers.tensorboard import TensorBoardTracker
from search.trackers.wandb import WandbTracker
from storage.records import StudyRecord


@dataclass(frozen=True)
class TrackerRow:
    """One tracker. The extra that installs its package has its name."""

    package: str  # as it is imported
    open: Callable[[StudyFolder, StudyRecord], Tracker]


TRACKERS = {
    "tensorboard": TrackerRow("tensorboard", lambda folder, _: TensorBoardTracker(folder.path / "tensorboard")),
    "mlflow": TrackerRow("mlflow", lambda folder, study: MlflowTracker(folder.path, study.name, study_id(study))),
    "wandb": TrackerRow("wandb", lambda folder, study: WandbTracker(folder.path, study.name, study_id(study))),
}


def check_trackers(names: Sequence[str], option: str) -> None:
    """Raise UsageError for a name that is no tracker, and for one whose package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"{option}: must be {', '.join(TRACKERS)}, got {name!r}")
        if find_spec(TRACKERS[name].package) is None:
            raise UsageError(
                f"{option} {name}: needs the package {TRACKERS[name].package}, which is not installed; "
                f"{installing(name)}"
            )
