"""What a session would do, as plain values: the result of `search run --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from search.data.images import FEW_IMAGES
from spaces import Value
from storage.records import Origin


@dataclass(frozen=True)
class PlannedPoint:
    """A point that is tried before the sampler's."""

    origin: Origin
    params: Mapping[str, Value]
    words: str  # how it differs from the default point
    parameters: int | None = None  # of its model; None if it could not be described
    seconds: float | None = None  # expected for all its folds, one after another; None if it will not be trained
    left_out: str = ""  # why it will not be trained


@dataclass(frozen=True)
class DryRun:
    """A session that was not begun."""

    study: str
    begun: bool  # whether the study has trials
    nothing_left: str  # why the session would do nothing; empty if it would
    images: int  # in the folds
    testing: int
    image_shape: tuple[int, int, int]  # height, width, channels
    class_counts: Mapping[str, int]  # images in the folds
    folds: int
    metric: str
    preset: str  # or the user's file
    families: tuple[str, ...]  # of models; empty where there is one
    parameters: tuple[str, ...]  # of the space
    engine: str
    sampler: str
    workers: int
    trials: int | None  # in all sessions; None: no limit
    trials_done: int
    seconds: float | None  # in all sessions, those of nested cross-validation apart; None: no limit
    seconds_spent: float
    points: tuple[PlannedPoint, ...]
    measured: bool  # whether seconds come from this study's fold runs; else from the arithmetic of the networks
    comparing: str = ""  # what is compared first, to choose the size of images, in words; empty where nothing

    @property
    def prices(self) -> tuple[float, float] | None:
        """Seconds of a trial with all workers, of the cheapest and the dearest point; None if none has a price."""
        known = [point.seconds for point in self.points if point.seconds is not None]
        return (min(known) / self.workers, max(known) / self.workers) if known else None

    @property
    def few_images(self) -> Mapping[str, int]:
        """The classes with fewer images than an estimate needs."""
        return {name: images for name, images in self.class_counts.items() if images < FEW_IMAGES}

    @property
    def trials_left(self) -> int | None:
        """Trials until the budget of trials is used up; None without one."""
        return None if self.trials is None else max(self.trials - self.trials_done, 0)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the budget of time is used up; None without one."""
        return None if self.seconds is None else max(self.seconds - self.seconds_spent, 0.0)
