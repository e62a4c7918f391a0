"""The study folder: `study.toml` (what was asked), `study.db` (everything that happened), and what belongs to them."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search import config as toml
from search.check import Checked, check_images, notes_for_report
from search.config import PRECISIONS, Config, Try
from search.discovery import discover
from search.errors import UsageError
from search.executors import default_workers
from search.finish import is_current, reserve
from search.folds import draw_folds, image_records, not_validated
from search.images import ImageSet, read_images
from search.lease import holder
from search.lock_box import KEY as LOCK_BOX
from search.lock_box import lock_away, lock_box
from search.outer import whole
from search.proposers import left_to_chance
from search.reference_rows import missing
from search.references import possible
from search.seeds import derive
from search.selection import complete
from search.starts import best_of, points_to_try
from search.text import printable
from search.weights import AtHand, at_hand
from spaces import Choice, Parameter, Space, SpaceError, Value
from spaces.backbones import Backbone, lite0
from spaces.facts import Facts
from spaces.own import WALK_SECONDS
from spaces.own_file import ModelFile
from spaces.parameters import integer
from spaces.presets import FAMILIES, Auto, Preset, preset
from spaces.presets.auto import prefix
from storage import (
    OUT_OF_TIME,
    ImageRecord,
    LockedError,
    Split,
    StorageError,
    Store,
    StudyRecord,
    TrialRecord,
    TrialState,
    needs_upgrade,
)

DATABASE = "study.db"
UNEVEN = 1.5  # images of the most frequent class over those of the rarest, above which weighing classes is searched
BY_ITSELF = (lite0.BACKBONE,)  # its one file is pinned by checksum, so a study need not remember which it was
OWN_EPOCHS = 40  # the most of a fold run, for a model of the user's that does not declare `epochs`


@dataclass(frozen=True)
class Own:
    """A model of the user's own: where it is, and the parameters that it asks for."""

    file: ModelFile
    space: Space
    whole: bool = True  # whether the builder was asked at every value of them, or time was up

    @property
    def found(self) -> str:
        """How much there is to search, in words."""
        said = f"{self.file.name} asks for {len(self.space.parameters)} parameters"
        if self.whole:
            return said
        limit = f"{WALK_SECONDS:.0f} s were too few to ask it everywhere"
        return f"{said}; {limit}, so some may be searched where they do nothing"


@dataclass(frozen=True)
class Prepared:
    """Everything a search needs, checked, before anything is written."""

    config: Config
    images: ImageSet
    checked: Checked
    facts: Facts
    preset: Preset | Auto
    own: Own | None  # takes the place of the preset
    space: Space
    folds: int
    max_epochs: int
    tries: tuple[dict[str, Value], ...]  # points of [[try]], then those of a warm start
    warm: tuple[Try, ...]  # what a warm start adds to study.toml
    remarks: tuple[str, ...]  # what was decided for the user, a sentence each
    locked: int = 0  # images that are locked away, of no testing folder

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide results, those left open filled in."""
        identity = self.config.identity()
        training = {**identity["training"], "max_epochs": self.max_epochs}
        size = list(self.images.pixels.shape[1:3])
        filled = {**identity, "folds": self.folds, "image_size": size, "training": training}
        if self.locked:
            filled[LOCK_BOX] = self.locked
        if self.checked.named:
            filled["groups"] = self.checked.named.identity
        if self.facts.backbones not in ((), BY_ITSELF) or (isinstance(self.preset, Auto) and not self.facts.backbones):
            filled["weights"] = {backbone.name: backbone.sha256 for backbone in self.facts.backbones}
        if self.own is None:
            return filled
        model = {"sha256": self.own.file.sha256, "space": self.own.space.to_json()}
        return {**filled, "preset": self.own.file.name, "model": model}


def find_study(given: Path | None) -> Path:
    """The study folder meant: the one given, else the current folder, else the only study in it.

    Raises UsageError, naming the candidates, where there is none or more than one.
    """
    if given is not None:
        if is_study(given):
            return given
        if not given.exists():
            raise UsageError(f"{given} does not exist; `search run IMAGES` makes a study")
        raise UsageError(f"{given} is not a study: it has no {toml.FILE}; `search run IMAGES` makes one")
    here = Path()
    if is_study(here):
        return here
    below = sorted(p.parent for p in here.glob(f"*/{toml.FILE}"))
    if len(below) == 1:
        return below[0]
    if below:
        raise UsageError(f"there are several studies here; name one: {', '.join(map(str, below))}")
    raise UsageError("there is no study here; name one, or make one with `search run IMAGES`")


def is_study(folder: Path) -> bool:
    """Whether the folder has a study's file in it."""
    return (folder / toml.FILE).is_file() or (folder / DATABASE).exists()


def prepare(
    config: Config,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    model: ModelFile | None = None,
    warm_start: Path | None = None,
) -> Prepared:
    """Read the images and settle what the configuration leaves open. Writes nothing.

    `model` is a builder of the user's own, which takes the place of the preset and is run to learn its parameters.
    `warm_start` is the folder of another study, whose best points are tried too.
    Raises UsageError for images, model, weights, space, points or folds that cannot be searched.
    """
    chosen = preset(config.preset)
    (stored, before), weights = _stored(folder), AtHand((), config.space, ())
    if not model and (isinstance(chosen, Auto) or chosen.frozen):
        weights = at_hand(config, folder, _backbones_of(stored), needed=not isinstance(chosen, Auto))
    images = read_images(folder / config.images, size=config.image_size, progress=progress)
    checked = check_images(images, config.groups, folder, config.folds)
    if checked.folds is None:
        raise UsageError(checked.problem or "")
    locked = lock_box(config, images, checked, stored, before)
    if locked.any():
        images, checked = lock_away(images, checked, locked, config.folds)
    facts = _facts(images, checked.together.apart, flip=config.flip, backbones=weights.backbones)
    own = _own(stored, model, facts) if model else None
    whole, name = (own.space, own.file.name) if own else (chosen.space(facts), f"preset {chosen.name}")
    try:
        space = whole.narrow(weights.space)
    except SpaceError as error:
        lines = "\n".join(f"  {line}" for line in str(error).splitlines())
        raise UsageError(f"[space] of {toml.FILE}, {name}:\n{lines}") from None
    max_epochs = config.training.max_epochs or (OWN_EPOCHS if own else chosen.epochs)
    if config.chosen_sampler == "hyperband":
        space = _with_epochs(space, max_epochs, config.space)
    tries = points_to_try(config.tries, space)
    warm: tuple[Try, ...] = ()
    said = None
    if warm_start:
        known_as = own.file.name if own else chosen.name
        warm, said = best_of(_other(warm_start, folder), str(warm_start), space, known_as, tries)
    tries += tuple(space.changed(one.changes) for one in warm)
    found = own.found if own else None
    chance = _left_to_chance(config, space, families=isinstance(chosen, Auto) and not own)
    remarks = (*checked.sentences, *weights.remarks, *(text for text in (found, said, chance) if text))
    folds, kept = checked.folds or 0, int(locked.sum())
    if config.nested and config.hours is not None:
        config = config.model_copy(update={"hours": config.hours / (1 + folds)})
    return Prepared(config, images, checked, facts, chosen, own, space, folds, max_epochs, tries, warm, remarks, kept)


def _with_epochs(space: Space, most: int, narrowed: Collection[str]) -> Space:
    """The space of Hyperband, which chooses the epochs: in the place of what a model or family has for that."""
    own = {"epochs", *(prefix(family) + "epochs" for family in FAMILIES)}
    for name in own & {*narrowed} & {*space.by_name}:
        raise UsageError(f"[space] of {toml.FILE}: {name}: 'hyperband' chooses the epochs; remove this line")
    source = "at most max_epochs of [training], else as many as the preset has; rungs: arXiv 1603.06560"
    epochs = integer("epochs", 1, most, most, help="the most of a fold run, by hyperband", source=source)
    return Space((epochs, *(p for p in space.parameters if p.name not in own)))


def _left_to_chance(config: Config, space: Space, *, families: bool) -> str | None:
    """What the sampler does not model, in a sentence; `families`: the space has several."""
    if config.engine != "optuna":
        return None
    said = left_to_chance(space, config.chosen_sampler)
    return f"{said}, or a preset of one family" if said and families else said


def _other(study: Path, folder: Path) -> Path:
    """The database of a study to begin from."""
    try:
        database = find_study(study) / DATABASE
    except UsageError as error:
        raise UsageError(f"--warm-start: {error}") from None
    if not database.exists():
        raise UsageError(f"--warm-start: {study} has not begun, so it has no trial to begin from")
    if folder.exists() and study.samefile(folder):
        raise UsageError(f"--warm-start: {study} is this study itself; name another")
    return database


def _facts(images: ImageSet, apart: NDArray[np.bool_], *, flip: bool, backbones: tuple[Backbone, ...]) -> Facts:
    height, width, channels = images.pixels.shape[1:]
    counts = np.bincount(images.labels[~apart], minlength=len(images.classes))
    uneven = bool(counts.max() > UNEVEN * counts.min())
    return Facts(height, width, channels, len(images.classes), int(counts.sum()), backbones, flip, uneven)


def _stored(folder: Path) -> tuple[StudyRecord | None, list[ImageRecord]]:
    """What the study in this folder began with; None where it has no trial yet, or is to be upgraded first."""
    path = folder / DATABASE
    if not path.exists() or needs_upgrade(path):
        return None, []
    with Store.open(path, read_only=True) as store:
        return (store.study(), store.images()) if store.has_trials() else (None, [])


def _backbones_of(stored: StudyRecord | None) -> Collection[str] | None:
    """The backbones that a study began with, by name; None where it has not begun."""
    if stored is None:
        return None
    weights = stored.config.get("weights")
    return weights if isinstance(weights, Mapping) else [backbone.name for backbone in BY_ITSELF]


def _own(stored: StudyRecord | None, file: ModelFile, facts: Facts) -> Own:
    """The user's builder with its parameters: those stored when the study began with this file, else discovered."""
    model = None if stored is None else stored.config.get("model")
    if model is not None and model["sha256"] == file.sha256:
        return Own(file, Space.from_json(model["space"]))
    return Own(file, *discover(file, facts))


def create(folder: Path, prepared: Prepared) -> Store:
    """Make the database of a new study: images, folds drawn once, settings, space."""
    images, seed, folds = prepared.images, prepared.config.seed, folds_of(prepared, 0)
    unjudged = not_validated(images.labels, folds, images.classes)
    height, width, channels = images.pixels.shape[1:]
    record = StudyRecord(
        name=Path(os.path.normpath(folder.absolute() / prepared.config.images)).name,
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
    return Store.create(folder / DATABASE, record, image_records(images), [Split(0, folds)])


def folds_of(prepared: Prepared, repeat: int) -> NDArray[np.int16]:
    """[images] the fold that validates each image in a repeat, -1: none; 0 is the search itself."""
    together, seed = prepared.checked.together, derive(prepared.config.seed, "folds", repeat)
    images = prepared.images
    return draw_folds(images.labels, together.apart, prepared.folds, seed, together.units, images.classes)


def open_begun(folder: Path, prepared: Prepared) -> Store | None:
    """The study's database, open for writing; None where no trial was stored yet.

    A study without a trial has nothing to protect and is made anew: what keeps its baseline from being trained may
    be mended. Raises UsageError where the stored study is another than the one that is asked for.
    """
    path = folder / DATABASE
    if not path.exists():
        return None
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store.open(path))
        if store.has_trials():
            check_same(store, prepared)
            stack.pop_all()
            return store
    path.unlink()
    return None


def budget_done(folder: Path, store: Store, config: Config, backbones: Sequence[Backbone] = ()) -> str | None:
    """Which budget is used up, in words; None while there is something left, be it reference rows or the choice."""
    trials = store.trials(curves=False)
    if complete(trials, config.metric) and not is_current(store, folder):
        return None
    if used := _hours_used(store, trials, config):
        return f"{used}; --hours raises the total"
    if (used := _trials_used(trials, config)) and not _references_left(store, backbones):
        return f"{used}; --trials raises the total"
    return None


def _hours_used(store: Store, trials: Sequence[TrialRecord], config: Config) -> str:
    """That they are used up, in words; empty where they are not."""
    if config.hours is None:
        return ""
    hours, assignment = store.spent_seconds() / 3600, store.split().assignment
    folds, images = int(assignment.max()) + 1, int((assignment >= 0).sum())
    # Finishing, which is done, may have needed less than was kept back for it.
    kept = reserve(trials, config.metric, folds, images, config.hours * 3600, default_workers()[0])
    if hours < config.hours - kept / 3600:
        return ""
    rest = "" if kept <= 0 else f", and {kept / 3600:.2f} are kept back for finishing"
    return f"{hours:.2f} of {config.hours:g} hours are used{rest}"


def _trials_used(trials: Sequence[TrialRecord], config: Config) -> str:
    """As `_hours_used`, of the trials."""
    closed = [t for t in trials if t.state != TrialState.RUNNING and t.cause != OUT_OF_TIME]
    if config.trials is None or len(closed) < config.trials:
        return ""
    if len(closed) > config.trials:
        return f"{len(closed)} trials are done, {config.trials} were asked for in total"
    return f"{len(closed)} of {config.trials} trials are done"


def without_result(folder: Path) -> str | None:
    """Why a begun study has nothing to make a model of, and the command that goes on; None where it has something.

    Budgets are totals: where one is used up, that command has a larger one.
    """
    config = toml.read(folder)
    with reading(folder) as store:
        trials, study = store.trials(curves=False), store.study().config
        if complete(trials, config.metric):
            return None
        used = {
            f"--hours {max(1.0, 2 * (config.hours or 0)):g}": _hours_used(store, trials, config),
            f"--trials {2 * max(len(trials), config.trials or 0)}": _trials_used(trials, config),
        }
    more = [option for option, words in used.items() if words]
    why = "".join(f", and {words}" for words in used.values() if words)
    own = ["--model", f"PATH/{study['preset']}"] if study.get("model") else []
    command = shlex.join(["search", "resume", str(folder), *" ".join(more).split(), *own])
    return f"{folder}: no trial is complete, so there is no model{why}; go on with: {command}"


def references_of(folder: Path, backbones: Sequence[Backbone]) -> tuple[str, ...]:
    """The reference rows that a study computes; an outer fold is there for what it chooses, and needs none."""
    return possible(backbones) if whole(folder) == folder else ()


def _references_left(store: Store, backbones: Sequence[Backbone]) -> bool:
    folds = int(store.split().assignment.max()) + 1
    return bool(missing(references_of(store.path.parent, backbones), folds, store.references()))


def stored_space(store: Store) -> Space:
    """The space that the study searches. Raises StorageError where the database does not hold one."""
    try:
        return Space.from_json(store.study().space)
    except SpaceError as error:
        why = str(error).removeprefix("this is not a stored space: ")
        raise StorageError(_never_written(store, f"a space that is none ({why})")) from None


def _never_written(store: Store, found: str) -> str:
    return f"{store.path}: holds {found}, which this program never writes. Restore the file from a backup."


def check_same(store: Store, prepared: Prepared) -> None:
    """Raise UsageError, naming each difference, unless the stored study is the one that is asked for.

    Raises StorageError where a stored trial is no point of its space: the sampler could not learn from it.
    """
    stored = store.study()
    _check_model(stored, prepared)
    by_itself = {"weights": {backbone.name: backbone.sha256 for backbone in BY_ITSELF}}
    before = {**by_itself, "race": "none", **stored.config}  # studies of older releases have no race
    if isinstance(trained := before.get("training"), Mapping):  # nor did they say how to compute
        before["training"] = {"precision": PRECISIONS[0], "xla": False, **trained}
    asked = {**by_itself, **prepared.identity}
    if prepared.config.race is None:
        asked["race"] = before["race"]
    found = toml.differences(before, asked)
    other_images = stored.fingerprint != prepared.images.fingerprint
    if stored.config.get("preset") == prepared.identity["preset"]:
        # Which parameters there are follows from the images: where those differ, theirs is the difference to name.
        found += _space_differences(stored_space(store), prepared.space, of_both=other_images)
    else:  # what follows from another preset is no news
        follows = (
            "model:",
            "weights",
            *(("training.max_epochs:",) if prepared.config.training.max_epochs is None else ()),
        )
        found = [line for line in found if not line.startswith(follows)]
    if other_images:
        found += _image_differences(store.images(), image_records(prepared.images))
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise UsageError(
            f"this study began with other settings, and its results would not compare:\n{lines}\n"
            "put them back to go on, or begin another study with --dir"
        )
    _check_points(store, prepared.space)


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[Store]:
    """The study's database, read only; where it is locked, who has the study is told as well."""
    try:
        with Store.open(folder / DATABASE, read_only=True) as store:
            yield store
    except LockedError as error:
        who = holder(folder) or "no run of `search`, so by another program, such as a database browser"
        raise StorageError(f"{error} The study is held by {who}.") from error


def done_already(folder: Path, prepared: Prepared) -> str | None:
    """Compare with what is stored, without touching a file; returns which budget is used up, if one is.

    The run compares again under its lease. Here a refusal leaves even that as it was.
    """
    if not (folder / DATABASE).exists() or needs_upgrade(folder / DATABASE):
        return None
    with reading(folder) as store:
        if store.has_trials():
            check_same(store, prepared)
        return budget_done(folder, store, prepared.config, prepared.facts.backbones)


@contextlib.contextmanager
def pixels_on_disk(folder: Path, images: ImageSet) -> Iterator[Path]:
    """The pixels as a .npy file, which all workers of this machine map into one copy; gone afterwards."""
    path = (folder / "cache" / "pixels.npy").absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link to any file, in a study folder from elsewhere
    np.save(path, images.pixels, allow_pickle=False)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is kept there
            path.parent.rmdir()


def _check_points(store: Store, space: Space) -> None:
    for trial in store.trials(curves=False):
        try:
            space.check(trial.params)
        except SpaceError as error:
            first = str(error).splitlines()[0]
            found = f"trial {trial.number} with a point that is none of its space ({first})"
            raise StorageError(_never_written(store, found)) from None


def _check_model(stored: StudyRecord, prepared: Prepared) -> None:
    """Code runs only when it is named on the command line: a study cannot name it, and it must be the same."""
    model = stored.config.get("model")
    name = stored.config.get("preset")
    if model is not None and prepared.own is None:
        raise UsageError(f"this study searches {name}, code of your own; name it again to go on: --model PATH/{name}")
    if model is not None and prepared.own is not None and model["sha256"] != prepared.own.file.sha256:
        raise UsageError(
            f"this study searches {name} as it was when the study began (SHA-256 {model['sha256'][:12]}…), and "
            f"{prepared.own.file.path}, or what it imports from its folder, is another "
            f"(SHA-256 {prepared.own.file.sha256[:12]}…); "
            "put it back to go on, or begin another study with --dir"
        )


def _space_differences(stored: Space, asked: Space, *, of_both: bool) -> list[str]:
    """Each parameter in which two spaces differ, but for its words and what it might be widened to.

    `of_both`: only parameters that both have.
    """
    old, new = stored.by_name, asked.by_name
    before, after = ({row["name"]: row for row in space.rows()} for space in (stored, asked))
    found = []
    for name in [*old, *(n for n in new if n not in old)]:
        if name not in old or name not in new:
            if of_both:
                continue
            found.append(f"space.{name}: {'is gone' if name in old else 'is new'}")
        elif _essence(old[name]) != _essence(new[name]):
            keys = [k for k in ("range", "default", "when") if before[name][k] != after[name][k]]
            found += [
                f"space.{name}: the study has {k} {before[name][k]}, asked is {after[name][k]}" for k in keys
            ] or [f"space.{name}: the study has {_exactly(old[name])}, asked is {_exactly(new[name])}"]
    return found


def _essence(parameter: Parameter) -> dict[str, Any]:
    """All that decides what is drawn; the types of a choice's values too, since 1, 1.0 and True are equal."""
    kept = {k: v for k, v in vars(parameter).items() if k not in ("help", "source", "limits", "known")}
    types = [type(v) for v in parameter.values] if isinstance(parameter, Choice) else None
    return {"kind": type(parameter), "types": types, **kept}


def _exactly(parameter: Parameter) -> str:
    """What the table for people leaves out, such as the tenth digit."""
    return ", ".join(
        f"{k} {v}" for k, v in vars(parameter).items() if k in ("values", "low", "high", "step", "default")
    )


def _image_differences(stored: list[ImageRecord], found: list[ImageRecord]) -> list[str]:
    old, new = ({i.path: (i.label, i.testing, i.digest) for i in images} for images in (stored, found))
    kinds = {
        "new": sorted(new.keys() - old.keys()),
        "gone": sorted(old.keys() - new.keys()),
        "changed": sorted(path for path in old.keys() & new.keys() if old[path] != new[path]),
    }
    lines = [
        f"images: {len(paths)} {kind}: {', '.join(map(printable, paths[:5]))}{', …' if len(paths) > 5 else ''}"
        for kind, paths in kinds.items()
        if paths
    ]
    return lines or ["images: they are not the ones that the study began with"]
