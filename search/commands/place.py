"""Where folds are to be trained: on this machine, with how many workers, or on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.commands.values import checked_workers
from search.errors import UsageError
from search.executors.devices import VISIBLE, visible_gpus

if TYPE_CHECKING:
    from search.executors.base import Cluster

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Place:
    """Where folds are to be trained, as it was asked for."""

    workers: int | None
    per_gpu: int | None
    executor: str | None
    address: str | None

    @property
    def chosen(self) -> tuple[int | None, Cluster | None]:
        """(workers on this machine, see `workers_asked`; None) or (None, the cluster). Raises UsageError."""
        if self.executor is not None and self.executor not in EXECUTORS:
            raise UsageError(f"--executor: must be one of {', '.join(EXECUTORS)}, got {self.executor!r}")
        if self.executor != "ray":
            if self.address is not None:
                raise UsageError(f"--address {self.address}: is that of a Ray cluster; add --executor ray")
            return workers_asked(self.workers, self.per_gpu), None
        if self.workers == 0:
            raise UsageError("--workers 0 trains in this process, --executor ray on a cluster; leave one of them out")
        if self.per_gpu is not None and self.per_gpu < 1:
            raise UsageError(f"--workers-per-gpu: must be at least 1, got {self.per_gpu}")
        from search.executors.base import Cluster  # imported here, because --help needs no NumPy

        most = None if self.workers is None else checked_workers(self.workers)
        return None, Cluster(self.address, most, self.per_gpu or 1)


def workers_asked(workers: int | None, per_gpu: int | None) -> int | None:
    """The number of workers; None: the default of this machine, 0: train in this process. Raises UsageError."""
    if per_gpu is None:
        return None if workers is None else checked_workers(workers)
    if workers is not None:
        raise UsageError("--workers and --workers-per-gpu both say how many workers there are; give one of them")
    if per_gpu < 1:
        raise UsageError(f"--workers-per-gpu: must be at least 1, got {per_gpu}")
    gpus = visible_gpus()
    if not gpus:
        raise UsageError(
            f"--workers-per-gpu {per_gpu}: no NVIDIA GPU is visible here; see what `nvidia-smi -L` lists and what "
            f"{VISIBLE} is set to, or leave the option out to train on processors"
        )
    return per_gpu * len(gpus)
