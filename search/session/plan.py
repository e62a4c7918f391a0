"""What the loop, and what workers need to know about a study."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.folds import fold_rows
from search.executors.devices import memory_for_each
from search.jobs import Description, FitOptions, FoldJob, Pixels, Saving, WorkerContext, probed
from search.seeds import derive
from search.session.budget import Reserve, reporting_seconds, reserve
from search.session.learning_curve import PartTerms
from search.session.racer import RaceTerms
from search.session.references import references_of
from search.session.weight_files import forget, saving_in, weights_of
from search.stats.racing import RULES, Schedule
from search.stats.selection import Wish
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from spaces import Space, Value
from spaces.facts import Facts
from spaces.presets import FAMILIES, Auto, Preset, family_of, known_good, probes, shared_views
from storage import Split, Store, TrialRecord
from storage.records import Origin, Params


@dataclass(frozen=True)
class Start:
    """A point to be tried before the sampler's."""

    origin: Origin
    point: Mapping[str, Value]
    one_of: str = ""  # of the starts with the same name here, only the first for which there is time is tried
    whole: bool = False  # whether it is only tried where there is time for all of its folds
    of: int = -1  # the trial whose point this is with half the batch; -1: none


@dataclass(frozen=True)
class Plan:
    """What the loop needs to know about the study."""

    seed: int
    metric: str
    folds: int
    assignment: NDArray[np.int16]  # [images] fold that validates the image, -1: none
    fit_options: Callable[[Params], FitOptions]  # of a point's fold runs; the epochs of `epochs_of`
    space: Space
    starts: Sequence[Start]  # points to be tried first; the baseline is the first
    max_parameters: int
    max_bytes: int  # estimated memory of one training
    trials: int | None
    seconds: float | None
    model: str = ""  # what is searched, for people: the preset, or the user's file
    of_families: bool = False  # whether FAMILY is the preset's parameter; a user's model may have one of that name
    testing: int = 0  # images that the saved model is tested on
    wish: Wish = field(default_factory=Wish)  # of the saved model
    trains: Callable[[Params], bool] = lambda _params: True  # whether a point is a network, not a head fitted at once
    probes: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)  # backbone -> the point that probes it
    passes: Callable[[Params], frozenset[Hashable]] = lambda _params: frozenset()  # of a point's model, see `Timed`
    until_flat: bool = False  # whether the search ends when more of it does not pay
    references: Sequence[str] = ()  # names of the reference rows to compute
    parts: PartTerms | None = None  # of the learning curve; None: there is none
    probe_views: frozenset[str] = frozenset()  # views of all images whose features the linear probe needs
    reserve: Callable[[Sequence[TrialRecord]], Reserve] = lambda _trials: Reserve()  # of time, for finishing
    side_by_side: bool = False  # whether fold runs of a trial are trained so, where they can be
    race: RaceTerms | None = None  # None: every trial is trained on every fold
    weights: Callable[[TrialRecord, int], Path] | None = None  # where a fold run keeps its weights
    forget: Callable[[Iterable[int]], None] = lambda _numbers: None  # removes the kept weights of trials
    saving: Saving | None = None  # how long fold runs store their state
    afterwards: float = 0.0  # of `seconds`, for what comes after the session

    @property
    def limit(self) -> float | None:
        """Seconds that the sessions of a study may take together; None without a limit."""
        return None if self.seconds is None else self.seconds - self.afterwards

    def too_large(self, model: Description) -> str | None:
        """Why a described model is not trained; None if it is."""
        new = model.parameters - model.pretrained
        if new > self.max_parameters:
            return f"its model has {new:,} parameters, above max_parameters = {self.max_parameters:,}"
        if model.training_bytes > self.max_bytes:
            needed, there = model.training_bytes / 1e9, self.max_bytes / 1e9
            return f"training it needs about {needed:.1f} GB, and a worker has {there:.1f} GB"
        return None


def epochs_of(params: Params, most: int, preset: Preset | Auto | None = None) -> int:
    """Maximum epochs of a point's fold run: the point's `epochs` if it has them, else `most`.

    `preset`: None for a user's model. In a space of several families, the parameter of the point's family is used
    first, then the one that Hyperband sets.
    """
    own = params if preset is None else family_of(preset, params)[1]
    return int(own.get("epochs", params.get("epochs", most)))


def fold_seed(seed: int, trial: int, repeat: int, fold: int) -> int:
    """The seed of a fold run; `seed` is the study's."""
    return derive(seed, "fold", trial, repeat, fold)


def fold_job(trial: TrialRecord, fold: int, split: Split, *, seed: int, options: FitOptions) -> FoldJob:
    """The job that trains a trial's point for one fold of `split`; `seed` is the study's."""
    train, validate = fold_rows(split.assignment, fold)
    return FoldJob(
        trial=trial.number,
        repeat=split.repeat,
        fold=fold,
        params=trial.params,
        train=train,
        validate=validate,
        seed=fold_seed(seed, trial.number, split.repeat, fold),
        training=options,
    )


def still_to_try(starts: Sequence[Start], trials: Sequence[TrialRecord]) -> list[Start]:
    """The starts that no trial has, in order, without repetitions, and without alternatives to one that was tried.

    Only the stored trials decide what was tried. A session that was killed therefore continues with the same point as
    one that was not, and starts that were added meanwhile come before the sampler's points.
    """
    known = [dict(trial.params) for trial in trials]
    begun = {start.one_of for start in starts if dict(start.point) in known} - {""}
    left = []
    for start in starts:
        if dict(start.point) not in known and start.one_of not in begun:
            known.append(dict(start.point))
            left.append(start)
    return left


def make_plan(prepared: Prepared, store: Store, slots: int, memory: int | None = None) -> Plan:
    """The plan for a prepared study and its stored folds. `slots`, `memory`: see Executor."""
    config, space = prepared.config, prepared.space
    preset = None if prepared.own else prepared.preset
    baseline = space.defaults()
    good = () if prepared.own else known_good(prepared.preset, prepared.facts)
    starts = [
        Start(Origin.BASELINE, baseline),
        *(Start(Origin.TRY, point) for point in prepared.tries),
        *(Start(Origin.START, space.defaults(**point.changes), point.one_of, point.whole) for point in good),
    ]
    references = references_of(StudyFolder(store.path.parent), prepared.facts.backbones)
    options = FitOptions(prepared.max_epochs, config.training.patience, config.training.min_delta)
    plan = Plan(
        seed=config.seed,
        metric=config.metric,
        folds=prepared.folds,
        assignment=store.split(0).assignment,
        fit_options=lambda params: replace(options, max_epochs=epochs_of(params, prepared.max_epochs, preset)),
        space=space,
        starts=starts,
        max_parameters=config.max_parameters,
        max_bytes=memory or memory_for_each(slots),
        trials=config.trials,
        seconds=None if config.hours is None else config.hours * 3600,
        afterwards=0.0 if config.hours is None else reporting_seconds(config.hours * 3600),
        model=prepared.own.file.name if prepared.own else prepared.preset.name,
        of_families=isinstance(preset, Auto),
        testing=int(prepared.images.testing.sum()),
        wish=config.wish,
        until_flat=config.until_flat,
        references=references,
        parts=_parts(prepared, references),
        probe_views=_probe_views(prepared.facts),
        side_by_side=config.training.xla and not prepared.own,
        race=race_terms(prepared, str(store.study().config.get("race", "none"))),
    )
    images, folder, study = int((plan.assignment >= 0).sum()), StudyFolder(store.path.parent), store.study()
    changes = probes(preset, prepared.facts) if preset else {}
    of_backbones = {name: space.defaults(**changed) for name, changed in changes.items()}
    return replace(
        plan,
        race=replace(plan.race, spared=tuple(map(dict, of_backbones.values()))) if plan.race else None,
        reserve=lambda t: reserve(t, plan.metric, plan.folds, images, plan.seconds, slots),
        weights=lambda trial, fold: weights_of(
            folder, trial.number, fold, fold_seed(study.seed, trial.number, 0, fold), trial.params, study.fingerprint
        ),
        forget=lambda numbers: forget(folder, numbers),
        saving=saving_in(folder, folder.states, study.fingerprint),
        probes=of_backbones,
        trains=lambda params: preset is None or _trains(preset, params),
        passes=lambda params: shared_views(preset, params, prepared.facts) if preset else frozenset(),
    )


def _parts(prepared: Prepared, references: Sequence[str]) -> PartTerms | None:
    """Of what a learning curve is made: the last of the references, which is the best one."""
    if not references:
        return None
    return PartTerms(references[-1], prepared.images.labels, prepared.checked.grouping.units)


def _probe_views(facts: Facts) -> frozenset[str]:
    """Names of the views that the linear probe sees; empty without a backbone."""
    backbone, family = probed(facts.backbones), FAMILIES["frozen"]
    if backbone is None or family.frozen is None:
        return frozenset()
    facts = replace(facts, backbones=(backbone,))
    return frozenset(view.name for view in family.frozen.views(family.space(facts).defaults(), facts))


def race_terms(prepared: Prepared, rule: str) -> RaceTerms | None:
    """How the study races; None if it does not. `rule`: the stored one."""
    if rule not in RULES or rule == "none":
        return None

    def schedule(params: Params) -> Schedule | None:
        if prepared.own:  # a user's model sets its learning rates itself
            return Schedule("constant", epochs_of(params, prepared.max_epochs))
        if not _trains(prepared.preset, params):
            return None
        family, own = family_of(prepared.preset, params)
        recipe = family.recipe(own, prepared.facts)
        return Schedule(recipe.schedule, epochs_of(params, prepared.max_epochs, prepared.preset))

    return RaceTerms(rule, prepared.images.labels, schedule)


def _trains(preset: Preset | Auto, params: Params) -> bool:
    """Whether a point is a network that is trained, rather than a head that is fitted at once."""
    family, own = family_of(preset, params)
    return not (family.frozen and family.frozen.heads) or family.frozen.heads.trains(own)


def worker_context(pixels: Path, features: Path, prepared: Prepared, saving: Saving | None = None) -> WorkerContext:
    """What workers need for a prepared study. `pixels`: a .npy file; `features`: a folder for frozen features."""
    return WorkerContext(
        pixels=Pixels(pixels),
        labels=prepared.images.labels,
        facts=prepared.facts,
        preset=prepared.preset.name,
        metric=prepared.config.metric,
        model=prepared.own.file if prepared.own else None,
        latency=prepared.config.second_objective == "latency",
        precision=prepared.config.training.precision,
        xla=prepared.config.training.xla,
        features=features.absolute(),
        seed=prepared.config.seed,
        saving=saving,
    )
