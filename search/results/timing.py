"""What a prediction takes, as it was measured by the way while searching."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from statistics import median

from spaces.presets import auto
from storage.records import Params, TrialRecord


def frozen(preset: str, params: Params) -> Params | None:
    """The point as the family `frozen` knows it; None for a point of another family."""
    if preset == "auto" and params.get(auto.FAMILY) == "frozen":
        return auto.within(params)
    return params if preset == "frozen" else None


def passes(point: Params) -> int:
    """How often a point of the family `frozen` has each image passed through its network: the mirror image too?"""
    return 2 if point.get("flip_average") else 1


def milliseconds(preset: str, trials: Sequence[TrialRecord]) -> Mapping[int, float]:
    """Trial -> measured milliseconds an image, all passes together; without trials for which none is known.

    A head on features takes next to no time beside its pre-trained network. So all trials that pass images through one
    in the same way have one time, the median of those that were measured: the others read the features from disk.
    """
    kinds = {trial.number: _way(preset, trial.params) for trial in trials}
    alike: dict[Hashable, list[float]] = {}
    for trial in trials:
        if kinds[trial.number] is not None and trial.latency is not None:
            alike.setdefault(kinds[trial.number], []).append(trial.latency)
    times = {}
    for trial in trials:
        if of_kind := alike.get(kinds[trial.number]):
            times[trial.number] = median(of_kind)
        elif trial.latency is not None:
            times[trial.number] = trial.latency
    return times


def _way(preset: str, params: Params) -> Hashable:
    """How a head on frozen features has images passed through which network; None for any other model."""
    point = frozen(preset, params)
    return None if point is None else tuple(point.get(name) for name in ("backbone", "input_size", "flip_average"))
