"""Reads and decides everything that a search needs, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.check import check_images
from search.data.depth import Scale
from search.data.holdout import hold_out, holdout_mask
from search.data.images import ImageSet, in_order_of, read_images
from search.errors import UsageError
from search.samplers.factory import unmodelled_parameters
from search.session.budget import share_of_hours
from search.session.discover import discover
from search.study import config as toml
from search.study.available_backbones import AvailableBackbones, find_backbones
from search.study.config import Config, Try
from search.study.database import place_of_study
from search.study.folder import StudyFolder
from search.study.prepared import BY_ITSELF, CustomModel, Prepared
from search.study.size_probe import SizeProbe
from search.study.warm_start import best_of, points_to_try
from spaces import Space, SpaceError
from spaces.backbones import Backbone
from spaces.custom.file import ModelFile
from spaces.facts import Facts
from spaces.parameters import integer
from spaces.presets import FAMILIES, Auto, preset
from spaces.presets.auto import prefix
from storage import ImageRecord, Store, StudyRecord, needs_upgrade

UNEVEN = 1.5  # images of the most frequent class over those of the rarest, above which weighing classes is searched
SHRUNK = 4.0  # times: pictures that were larger than they are read by more lose detail that may matter
OWN_EPOCHS = 40  # maximum of a fold run, for a user's model that does not declare `epochs`


def prepare(
    config: Config,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    model: ModelFile | None = None,
    warm_start: Path | None = None,
    size_probe: SizeProbe | None = None,
) -> Prepared:
    """Read the images and decide what the configuration leaves open. Writes nothing.

    `model`: the user's builder, used instead of the preset; it is called to discover its parameters.
    `warm_start`: the folder of another study, whose best points are tried too. `size_probe`: what decides the size of
    the images of a new study, where the configuration does not; of one that has begun the stored one counts.
    Raises UsageError for images, model, weights, space, points or folds that cannot be searched.
    """
    chosen = preset(config.preset)
    (stored, before), weights = _stored(config, folder), AvailableBackbones((), config.space, ())
    if not model and (isinstance(chosen, Auto) or chosen.frozen):
        weights = find_backbones(config, folder, _backbones_of(stored), needed=not isinstance(chosen, Auto))
    scale, size = None, size_probe.size if size_probe else None
    if stored is not None:
        scale, size_probe, size = _scale_of(stored, folder), _size_probe_of(stored, folder), stored.image_shape[:2]
    images = read_images(config.origin(folder), size=config.image_size or size, scale=scale, progress=progress)
    images = in_order_of(images, [image.path for image in before])
    checked = check_images(images, config.groups, folder, config.folds)
    if checked.folds is None:
        raise UsageError(checked.problem or "")
    locked = holdout_mask(config.lock_box, config.seed, images, checked, stored, before)
    if locked.any():
        images, checked = hold_out(images, checked, locked, config.folds)
    facts = _facts(images, checked.grouping.excluded, flip=config.flip, backbones=weights.backbones)
    if size_probe and size_probe.is_larger:
        facts = replace(facts, side=size_probe.side)
    own = _own(stored, model, facts) if model else None
    whole, name = (own.space, own.file.name) if own else (chosen.space(facts), f"preset {chosen.name}")
    space = _narrowed(whole, weights.space, name)
    max_epochs = config.training.max_epochs or (OWN_EPOCHS if own else chosen.epochs)
    if config.sampler_row.sets_epochs:
        space = _with_epochs(space, max_epochs, config.space)
    tries = points_to_try(config.tries, space)
    warm: tuple[Try, ...] = ()
    warm_remark = None
    if warm_start:
        known_as = own.file.name if own else chosen.name
        warm, warm_remark = best_of(_other(warm_start, folder), str(warm_start), space, known_as, tries)
    own_remark = own.found if own else None
    unmodelled = _unmodelled(config, space, families=isinstance(chosen, Auto) and not own)
    folds = checked.folds or 0
    detail = lost_detail(images) if stored is None and config.image_size is None else None
    detail = size_probe.sentence if size_probe else detail
    settled = (text for text in (detail, own_remark, warm_remark, unmodelled) if text)
    return Prepared(
        config=share_of_hours(config, folds),
        images=images,
        checked=checked,
        facts=facts,
        preset=chosen,
        own=own,
        space=space,
        folds=folds,
        max_epochs=max_epochs,
        tries=(*tries, *(space.changed(point.changes) for point in warm)),
        warm=warm,
        remarks=(*checked.sentences, *weights.remarks, *settled),
        locked=int(locked.sum()),
        begun=stored is not None,
        size_probe=size_probe,
    )


def _narrowed(space: Space, narrowing: Mapping[str, Any], name: str) -> Space:
    """The space, narrowed by [space] of study.toml; `name`: of the preset or builder. Raises UsageError."""
    try:
        return space.narrow(narrowing)
    except SpaceError as error:
        lines = "\n".join(f"  {line}" for line in str(error).splitlines())
        raise UsageError(f"[space] of {toml.FILE}, {name}:\n{lines}") from None


def _with_epochs(space: Space, most: int, narrowed: Collection[str]) -> Space:
    """The space of Hyperband, which chooses the epochs: they replace the epochs of a model or family."""
    own = {"epochs", *(prefix(family) + "epochs" for family in FAMILIES)}
    for name in own & {*narrowed} & {*space.by_name}:
        raise UsageError(f"[space] of {toml.FILE}: {name}: 'hyperband' chooses the epochs; remove this line")
    source = "at most max_epochs of [training], else as many as the preset has; rungs: arXiv 1603.06560"
    epochs = integer("epochs", 1, most, most, help="the most of a fold run, by hyperband", source=source)
    return Space((epochs, *(p for p in space.parameters if p.name not in own)))


def _unmodelled(config: Config, space: Space, *, families: bool) -> str | None:
    """A sentence on the parameters that the sampler does not model; `families`: whether the space has several."""
    if config.engine != "optuna":
        return None
    sentence = unmodelled_parameters(space, config.chosen_sampler)
    return f"{sentence}, or a preset of one family" if sentence and families else sentence


def lost_detail(images: ImageSet) -> str | None:
    """A sentence on what is too small to be seen in large images; None where they were not made much smaller."""
    height, width = images.pixels.shape[1:3]
    high, wide = np.median(images.sizes, axis=0)
    times = max(high / height, wide / width)
    if times <= SHRUNK:
        return None
    return (
        f"{wide:,.0f} x {high:,.0f} pixels, the median of the files, become {width} x {height}: what is smaller than "
        f"about {times:.0f} of theirs is lost. If that matters, begin with --image-size 224; it takes about three "
        "times as long"
    )


def _other(study: Path, folder: Path) -> Path:
    """The database of the study of a warm start."""
    try:
        other = StudyFolder.find(study)
    except UsageError as error:
        raise UsageError(f"--warm-start: {error}") from None
    if not other.begun:
        raise UsageError(f"--warm-start: {study} has not begun, so it has no trial to begin from")
    if folder.exists() and study.samefile(folder):
        raise UsageError(f"--warm-start: {study} is this study itself; name another")
    return other.database


def _facts(images: ImageSet, apart: NDArray[np.bool_], *, flip: bool, backbones: tuple[Backbone, ...]) -> Facts:
    height, width, channels = images.pixels.shape[1:]
    counts = np.bincount(images.labels[~apart], minlength=len(images.classes))
    uneven = bool(counts.max() > UNEVEN * counts.min())
    return Facts(height, width, channels, len(images.classes), int(counts.sum()), backbones, flip, uneven)


def _stored(config: Config, folder: Path) -> tuple[StudyRecord | None, list[ImageRecord]]:
    """The stored study and its images; None if it has no trial yet, or must be upgraded first."""
    place = place_of_study(StudyFolder(folder), config)
    if place is None or (isinstance(place, Path) and needs_upgrade(place)):
        return None, []
    with Store.open(place, read_only=True) as store:
        return (store.study(), store.images()) if store.has_trials() else (None, [])


def _scale_of(stored: StudyRecord, folder: Path) -> Scale:
    """The scale of deep grey that a study began with. Raises UsageError for one that is never written."""
    try:
        return Scale.of_plain(stored.config)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{folder}: its database says {error}, which cannot be; restore it from a backup") from None


def _size_probe_of(stored: StudyRecord, folder: Path) -> SizeProbe | None:
    """By what a study that has begun chose the size of its images. Raises UsageError for one that is never written."""
    try:
        return SizeProbe.of_plain(stored.config)
    except ValueError as error:
        raise UsageError(f"{folder}: its database holds {error}; restore it from a backup") from None


def _backbones_of(stored: StudyRecord | None) -> Collection[str] | None:
    """The names of the backbones that a study began with; None if it has not begun."""
    if stored is None:
        return None
    weights = stored.config.get("weights")
    return weights if isinstance(weights, Mapping) else [backbone.name for backbone in BY_ITSELF]


def _own(stored: StudyRecord | None, file: ModelFile, facts: Facts) -> CustomModel:
    """The user's builder with its parameters: the stored ones if the study began with this file, else discovered."""
    model = None if stored is None else stored.config.get("model")
    if model is not None and model["sha256"] == file.sha256:
        return CustomModel(file, Space.from_json(model["space"]))
    return CustomModel(file, *discover(file, facts))
