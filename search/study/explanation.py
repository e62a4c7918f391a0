"""An explanation: the two trials that it compares, the database of its own, and what is known of points between them.

It is kept apart from the search, `explained/START-GOAL.db` in the study's folder. So its trials are in no ranking,
budget or choice, no sampler learns from them, and a study that was explained goes on as if it had not been.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.seeds import derive
from search.stats import racing
from search.stats.ablation import Known, Made, Walk, walk
from search.stats.contributions import class_weights
from search.stats.metrics import METRICS, max_scores
from search.stats.racing import BEHIND_EARLY, RaceEntry
from search.stats.ranking import best
from search.stats.selection import tied
from search.study.continuing import stored_command
from search.study.evidence import stored_record
from search.study.folder import StudyFolder
from search.study.identity import stored_space
from spaces import Value
from spaces.route import Route
from storage import FoldRecord, Params, StorageError, Store, StudyRecord, TrialRecord, TrialState, needs_upgrade

MOST_CHANGES = 100  # of a path: more is no study of this program
_NAME = re.compile(r"(\d{1,6})-(\d{1,6})\.db", re.ASCII)


@dataclass(frozen=True)
class Ends:
    """The two trials of the search that an explanation compares."""

    start: TrialRecord
    goal: TrialRecord

    @property
    def numbers(self) -> tuple[int, int]:
        """Of start and goal."""
        return self.start.number, self.goal.number


def saved_trials(store: Store) -> tuple[int, ...]:
    """The trials of the saved model, that with the largest weight first; empty where there is no model."""
    choices = store.choices()
    weights: dict[int, float] = {}
    for number, weight in choices[-1].members if choices else ():
        weights[number] = weights.get(number, 0.0) + weight
    return tuple(sorted(weights, key=lambda number: (-weights[number], number)))


def ends_of(folder: StudyFolder, store: Store, start: int | None, goal: int | None, larger: Sequence[str] = ()) -> Ends:
    """The trials to compare; None: trial 0, and the trial of the saved model, else the best one.

    `larger`: options of the command that searches on, where a budget of the study is used up.
    Raises UsageError, with the next step, where there is nothing to compare.
    """
    trials, metric, split = store.trials(curves=False), stored_record(store).metric, store.split()
    more = f"search on with: {stored_command(folder, store, 'resume', *larger)}"
    if not any(trial.folds for trial in trials):
        raise UsageError(f"{folder} has no trial yet, so there is nothing to explain; {more}")
    saved, leader = saved_trials(store), best(trials, metric)
    chosen = saved[0] if saved else leader.number if leader else None
    if goal is None and chosen is None:
        raise UsageError(f"{folder} has no complete trial yet, so there is nothing to explain; {more}")
    first = _trial(trials, 0 if start is None else start, "--from")
    last = _trial(trials, chosen if goal is None else goal, "--to")
    is_saved = last.number in saved[:1]
    model = "the largest part of the saved ensemble" if len(saved) > 1 else "the saved model"
    what = model if is_saved else "the best trial"
    if dict(first.params) == dict(last.params):
        same = f"{what} is trial {last.number} itself" if goal is None else f"trial {last.number} has the same settings"
        raise UsageError(
            f"no setting differs from trial {first.number} to trial {last.number}: {same}, so there is nothing to "
            f"explain; name another trial with --from N or --to N (`search report` lists them), or {more}"
        )
    named = (start, goal) != (None, None)
    if not named and tied(last, first, metric, int((split.assignment >= 0).sum())):
        scores = " and ".join(f"{trial.score(metric) or 0:.3f}" for trial in (last, first))
        anyway = explain_command(folder, store, (first.number, last.number))
        raise UsageError(
            f"{what}, trial {last.number}, is not clearly better than trial {first.number} ({METRICS[metric].words} "
            f"{scores}), so its changes would explain luck; {more}; to explain them anyway: {anyway}"
        )
    return Ends(first, last)


def _trial(trials: Sequence[TrialRecord], number: int | None, option: str) -> TrialRecord:
    trial = next((trial for trial in trials if trial.number == number), None)
    if trial is None:
        raise UsageError(f"{option}: must be the number of a trial, 0 to {len(trials) - 1}, but got {number}")
    if trial.state == TrialState.FAILED or not any(fold.repeat == 0 for fold in trial.folds):
        why = f"failed ({trial.cause})" if trial.state == TrialState.FAILED else "has no finished fold"
        raise UsageError(
            f"{option}: trial {number} {why}, so it has no score; name another (`search report` lists them)"
        )
    return trial


def explain_command(folder: StudyFolder, store: Store, numbers: tuple[int, int], *options: str) -> str:
    """The command that explains these two trials, complete."""
    start, goal = map(str, numbers)
    return stored_command(folder, store, "explain", "--from", start, "--to", goal, *options)


# The database


def open_to_write(folder: StudyFolder, study: Store, ends: Ends) -> Store:
    """The explanation's database, made if there is none. The study's lock must be held.

    Raises UsageError if there is one of another search.
    """
    path, record = folder.explanation(*ends.numbers), study.study()
    if path.is_symlink() or path.parent.is_symlink():  # in a study folder from a stranger it could lead anywhere
        raise UsageError(f"{path} is a link, or in one: remove it, and try again")
    if path.exists():
        store = Store.open(path, max_scores=max_scores())
        if _belongs(store.study(), record, ends.numbers):
            return store
        store.close()
        raise UsageError(f"{path} explains another search than that of {folder}; move it away, and try again")
    path.parent.mkdir(exist_ok=True)
    return Store.create(path, _identity(record, ends.numbers), study.images(), [study.split()])


def _identity(study: StudyRecord, numbers: tuple[int, int]) -> StudyRecord:
    """As a study of its own. Seeds of its fold runs follow from its seed, as those of a search do."""
    start, goal = numbers
    config = {**study.config, "explains": {"created": study.created, "start": start, "goal": goal}}
    return replace(study, seed=derive(study.seed, "explain", start, goal), config=config, notes=())


def _belongs(stored: StudyRecord, study: StudyRecord, numbers: tuple[int, int]) -> bool:
    wanted = _identity(study, numbers)
    return replace(stored, notes=()) == wanted


@contextlib.contextmanager
def opened(folder: StudyFolder, study: StudyRecord, numbers: tuple[int, int]) -> Iterator[Store | None]:
    """The explanation of two trials, to read; None where there is none of this search."""
    path = folder.explanation(*numbers)
    if not path.exists() or needs_upgrade(path):
        yield None
        return
    with Store.open(path, read_only=True, max_scores=max_scores()) as store:
        yield store if _belongs(store.study(), study, numbers) else None


def explanations(folder: StudyFolder) -> list[tuple[int, int]]:
    """The trials of each explanation that has a file, whatever is in it."""
    found = [_NAME.fullmatch(path.name) for path in folder.explained.glob("*.db")]
    return sorted((int(name[1]), int(name[2])) for name in found if name)


def last_asked(folder: StudyFolder, study: StudyRecord, numbers: tuple[int, int]) -> str | None:
    """When an explanation was asked for last; None where there is none of this search. Raises StorageError."""
    with opened(folder, study, numbers) as store:
        runs = store.runs() if store is not None else []
        return runs[-1].started if runs else None


# What is known


@dataclass
class Results:
    """What is known of points of a route: fold runs of the explanation, and those of the search on the same folds."""

    study: StudyRecord
    labels: NDArray[np.int64]  # [images]
    assignment: NDArray[np.int16]  # [images] the fold that validates the image, -1: none
    route: Route
    _known: dict[Hashable, Known] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._weights = class_weights(self.labels[self.assignment >= 0])
        self.folds = int(self.assignment.max()) + 1
        self.images = int((self.assignment >= 0).sum())
        self._rule = str(self.study.config.get("race", "none"))

    def of(self, point: Params) -> Known:
        """What is known of a point."""
        return self._known.get(key_of(point), Known())

    def at(self, made: Made) -> Known:
        """What is known of the point with these changes."""
        return self.of(self.route.point(made))

    def add(self, point: Params, fold: FoldRecord, probabilities: NDArray[np.float32]) -> None:
        """Add a fold run of repeat 0, unless this fold of the point is known."""
        known = self.of(point)
        if fold.fold in known.scores:
            return
        metric = METRICS[self.study.metric]
        labels = self.labels[self.assignment == fold.fold]
        contributions = metric.contributions(labels, probabilities, self._weights)
        self._known[key_of(point)] = replace(
            known,
            scores={**known.scores, fold.fold: fold.scores[metric.name]},
            contributions={**known.contributions, fold.fold: contributions},
        )

    def fail(self, point: Params) -> None:
        """Note that a point cannot be trained."""
        self._known[key_of(point)] = replace(self.of(point), failed=True)

    def lost_end(self) -> Made | None:
        """The start or the goal, if it lacks folds and cannot be trained: then there is no path."""
        return next((made for made, _ in self.walk().needed if self.at(made).failed), None)

    def walk(self) -> Walk:
        """The path as far as it is known, and what must be trained next."""
        route = self.route
        behind = None if self._rule == "none" else self._behind
        return walk(route.changes, route.open, self.at, behind, self.study.metric, self.folds)

    def _behind(self, point: Known, leader: Known) -> bool:
        """By the rule of the study's race, which compares image by image."""
        entry, first = (RaceEntry(0, known.contributions, known.scores) for known in (point, leader))
        return racing.behind(self._rule, self.study.metric, entry, first, self._weights) is not None


def results_of(study: Store, ends: Ends, explanation: Store | None) -> Results:
    """Read what is known: of the two trials, of the explanation's, then of other trials of the search.

    Raises StorageError if the study's space is none, or has more changes than a space of this program.
    """
    route = Route(stored_space(study), _values(ends.start), _values(ends.goal))
    if len(route.changes) > MOST_CHANGES:
        raise StorageError(
            f"{study.path}: two trials differ in {len(route.changes)} settings, which no study of ours does"
        )
    labels = np.array([image.label for image in study.images()], np.int64)
    results = Results(study.study(), labels, study.split().assignment, route)
    _read(
        results, study, [end for end in (ends.start, ends.goal) if end.cause != BEHIND_EARLY]
    )  # of those a fold is cut
    if explanation is not None:
        _read(results, explanation, explanation.trials(curves=False))
    others = (t for t in study.trials(curves=False) if t.number not in ends.numbers and t.cause != BEHIND_EARLY)
    _read(results, study, [t for t in others if t.state != TrialState.FAILED and route.contains(_values(t))])
    return results


def _read(results: Results, store: Store, trials: Iterable[TrialRecord]) -> None:
    for trial in trials:
        folds = [fold for fold in trial.folds if fold.repeat == 0]
        probabilities = store.probabilities(trial.number) if folds else {}
        for fold in folds:
            results.add(trial.params, fold, probabilities[fold.fold])
        if trial.state == TrialState.FAILED:
            results.fail(trial.params)


def _values(trial: TrialRecord) -> Mapping[str, Value]:
    return trial.params


def key_of(point: Params) -> Hashable:
    """Equal for equal points, whatever the order of their parameters."""
    return frozenset(point.items())
