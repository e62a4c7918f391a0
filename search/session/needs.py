"""What the fold runs of a study need, from the arithmetic of its networks, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator

from search.executors.workers import Need
from search.jobs import Description
from search.session.plan import epochs_of
from search.session.prices import SPEED
from search.study.prepared import Prepared
from search.worker.describe import describe_frozen
from spaces.presets import family_of, known_good
from storage.records import Params


def need_of(prepared: Prepared) -> Need:
    """What the points need that are known before the first trial: the default, the user's and the known-good ones.

    Only pre-trained networks are large enough to matter, and are described without Keras.
    """
    folds, trials = prepared.folds, prepared.config.trials
    runs = None if trials is None else trials * folds
    largest, step, seconds = 0, 0.0, 0.0
    for params, batch, network in _described(prepared):
        images = prepared.facts.images * (1 - 1 / folds)
        work = images * epochs_of(params, prepared.max_epochs, prepared.preset) * network.training_macs / SPEED
        largest = max(largest, network.training_bytes)
        if work > seconds:
            step, seconds = batch * network.training_macs, work
    return Need(largest, step, seconds, folds, runs)


def _described(prepared: Prepared) -> Iterator[tuple[Params, int, Description]]:
    """Each point of a pre-trained network, its batch and its network."""
    preset, facts = prepared.preset, prepared.facts
    if prepared.own or not facts.backbones:
        return
    good = (prepared.space.defaults(**point.changes) for point in known_good(preset, facts))
    for params in (prepared.space.defaults(), *prepared.tries, *good):
        family, own = family_of(preset, params)
        if family.frozen:
            yield params, int(own.get("batch_size", 1)), describe_frozen(family.frozen, own, facts)
