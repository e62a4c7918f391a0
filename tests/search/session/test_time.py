"""How a search spends its time: what there is no time for is not begun, and the end comes in time."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.jobs import DescribeJob, Description, Failure, FailureCause, FoldJob, FoldResult, Job, Outcome
from search.results.progress import Ending
from search.session.budget import (
    FIRST_FOLD,
    LONG,
    RESERVED,
    RESTARTING,
    grace,
    is_long,
    patience,
    refit_seconds,
    reserve,
)
from search.session.plan import Start
from search.session.prices import SPEED
from search.session.signals import StopRequest
from search.session.testing import TESTING_SHARE
from search.session.time_left import RECALLED, out_of_time
from search.session.weight_files import KEPT_TRIALS, forget, weights_of
from search.study.folder import StudyFolder
from spaces.layers import Layer
from storage import OUT_OF_TIME, FoldRecord, TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, by_formula, result_of
from tests.search.session.sessions import ASSIGNMENT, FOLDS, Hands, Ticking, Watcher, new_study, sit, stored

IMAGES = len(ASSIGNMENT)
TRAIN = IMAGES - IMAGES // FOLDS
TURN = 4.0  # seconds that a turn of the loop takes where the clock is the test's


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


def seconds_of(job: FoldJob | DescribeJob) -> float:
    """A fold of a point takes ten seconds a level of depth, and ten at least."""
    return 10.0 * max(1, int(str(job.params.get("depth", 0))))


def priced(job: Job) -> Outcome:
    """As by formula; the arithmetic of a network is that of its seconds."""
    if not isinstance(job, DescribeJob):
        return by_formula(job)
    macs = seconds_of(job) * SPEED / TRAIN / 40
    return Description(100, 1600, (Layer("output", "Dense", (2,), 100, "2 units"),), training_macs=macs)


def clockwork() -> Ticking:
    return Ticking(priced, takes=seconds_of)


def depth(level: int, **changes: Any) -> dict[str, Any]:
    return dict(SPACE.defaults(depth=level, **changes))


def starts(*points: Start) -> dict[str, Any]:
    """Only these points, after a baseline whose fold takes ten seconds."""
    return {"starts": [Start(Origin.BASELINE, depth(1)), *points], "trials": 1 + len(points)}


def folds_of(path: Path) -> list[tuple[int, int]]:
    """(depth, folds) of each trial."""
    return [(int(str(trial.params["depth"])), len(trial.folds)) for trial in stored(path)]


def test_a_fold_for_which_there_is_no_time_is_not_begun(path: Path) -> None:
    executor = clockwork()
    sit(path, executor, seconds=140, **starts(Start(Origin.START, depth(4))))
    assert folds_of(path) == [(1, 3), (4, 2)]
    assert executor.now == 110  # with 30 s left, where a fold takes 40


def test_nor_in_many_hours_of_which_it_is_a_small_part(path: Path) -> None:
    """It would be cut short, and its worker started again where the model is to be made."""

    def takes(job: FoldJob | DescribeJob) -> float:
        return {1: 9390.0, 4: 250.0}[int(str(job.params.get("depth", 0)))]

    def answer(job: Job) -> Outcome:
        output = Layer("output", "Dense", (2,), 100, "2 units")
        return (
            Description(100, 1600, (output,), training_macs=takes(job) * SPEED / TRAIN / 40)
            if isinstance(job, DescribeJob)
            else by_formula(job)
        )

    executor = Ticking(answer, takes=takes)
    sit(path, executor, seconds=8 * 3600, **starts(Start(Origin.START, depth(4))))
    assert folds_of(path) == [(1, 3), (4, 2)]
    assert executor.now == 28_670  # with 130 s left


def test_time_that_is_too_short_for_a_fold_of_an_open_trial_goes_to_a_cheaper_one(path: Path) -> None:
    points = (Start(Origin.START, depth(4)), Start(Origin.START, depth(1, norm="batch")))
    sit(path, executor := clockwork(), seconds=160, **starts(*points))
    assert folds_of(path) == [(1, 3), (4, 2), (1, 3)]
    assert executor.now == 140


def test_a_trial_that_was_left_open_for_time_goes_on_with_more(path: Path) -> None:
    points = (Start(Origin.START, depth(4)),)
    sit(path, clockwork(), seconds=160, **starts(*points))
    first = stored(path)[1]
    assert (first.state, first.cause) == (TrialState.PRUNED, OUT_OF_TIME)
    assert first.detail == "its time was over after 2 of 3 folds, by which it is judged; more time goes on with it"
    sit(path, clockwork(), seconds=170, **starts(*points))
    assert folds_of(path) == [(1, 3), (4, 3)]
    assert stored(path)[1].state == TrialState.COMPLETE


def test_a_trial_without_folds_is_judged_by_nothing() -> None:
    assert out_of_time(0, 5) == "its time was over before its first fold was trained; more time goes on with it"


@pytest.mark.parametrize("origin", [Origin.START, Origin.TRY])
def test_a_start_for_which_there_is_no_time_is_left_out_with_a_note(path: Path, origin: Origin) -> None:
    watcher = Watcher()
    sit(path, clockwork(), watcher, seconds=105, **starts(Start(origin, depth(4)), Start(origin, depth(2))))
    assert [trial.params["depth"] for trial in stored(path)][:2] == [1, 2]
    point = "known-good point" if origin == Origin.START else "point of [[try]]"
    (note,) = (note for note in watcher.notes if "left out" in note)
    assert note == f"a {point} is left out: 2 of its folds need about 86 s, and 68 s are left (depth = 4)"


def alternatives() -> tuple[Start, ...]:
    return tuple(Start(Origin.START, depth(level), one_of="deep") for level in (4, 3, 2))


@pytest.mark.parametrize(("seconds", "tried"), [(300, [4]), (105, [3]), (90, [2]), (60, [])])
def test_of_alternatives_the_first_is_tried_for_which_there_is_time_and_no_other(
    path: Path, seconds: int, tried: list[int]
) -> None:
    watcher = Watcher()
    sit(path, clockwork(), watcher, seconds=seconds, **starts(*alternatives()))
    assert [trial.params["depth"] for trial in stored(path) if trial.origin == Origin.START] == tried
    told = " ".join(note for note in watcher.notes if "left out" in note)
    left_out = {"": 0, "a": 1}.get(told.partition(" ")[0]) if told[:1] in ("", "a") else int(told[0])
    assert left_out == {4: 0, 3: 1, 2: 2}.get(tried[0] if tried else 0, 3)


@pytest.mark.parametrize("whole", [True, False])
def test_some_known_good_points_are_only_tried_where_all_of_their_folds_fit(path: Path, whole: bool) -> None:
    sit(path, clockwork(), seconds=160, **starts(Start(Origin.START, depth(4), whole=whole)))
    assert ((4, 2) in folds_of(path)) is not whole


def test_points_that_are_left_out_together_are_told_in_one_line(path: Path) -> None:
    sit(path, clockwork(), watcher := Watcher(), seconds=60, **starts(*alternatives()))
    (note,) = (note for note in watcher.notes if "left out" in note)
    assert note.startswith("3 known-good points are left out for lack of time: depth = 4: 2 of its folds need about ")
    assert " s are left; depth = 3; " in note


def test_an_alternative_is_not_tried_in_a_later_session_either(path: Path) -> None:
    for seconds in (105, 1000):
        sit(path, clockwork(), seconds=seconds, **{**starts(*alternatives()), "trials": 4})
    assert [trial.params["depth"] for trial in stored(path) if trial.origin == Origin.START] == [3]


def test_if_no_point_of_the_sampler_fits_the_search_ends_and_says_so(path: Path) -> None:
    """However small, a model needs some seconds before it has two folds."""
    watcher = Watcher()
    executor = clockwork()
    ending = sit(path, executor, watcher, seconds=34, starts=[Start(Origin.BASELINE, depth(1))], trials=50)
    assert ending is Ending.FINISHED
    assert folds_of(path) == [(1, 3)]
    (note,) = watcher.notes
    assert note.startswith("no further trial is begun: 2 of its folds need about ")
    assert note.endswith(" s, and 0 s are left; a larger --time (or --hours) goes on")
    assert described(executor) == 2  # the baseline, and one point: even one as quick as the baseline needs 20 s


def described(executor: Ticking) -> int:
    return sum(isinstance(job, DescribeJob) for job in executor.jobs)


def half_as_fast() -> Ticking:
    """A machine on which each fold takes twice as long as its arithmetic says."""
    return Ticking(priced, takes=lambda job: 2 * seconds_of(job))


@pytest.mark.parametrize(("seconds", "begun"), [(190, False), (200, True)])
def test_a_resumed_search_knows_what_fold_runs_took_before(path: Path, seconds: int, begun: bool) -> None:
    """Two folds of the deep point are 66 s of arithmetic, and as the machine is, 132 s."""
    sit(path, half_as_fast(), seconds=100, **starts())
    watcher = Watcher()
    deep = Start(Origin.START, depth(3))
    sit(path, half_as_fast(), watcher, seconds=seconds, **starts(deep))  # its first 60 s are of the session before
    assert any(trial.origin == Origin.START for trial in stored(path)) == begun
    left_out = "a known-good point is left out: 2 of its folds need about 132 s, and 123 s are left (depth = 3)"
    assert (left_out in watcher.notes) == (not begun)


def test_only_few_stored_trials_of_a_family_are_described_again(path: Path) -> None:
    many = [
        Start(Origin.START, depth(1, dropout=level / 10, norm=norm)) for level in range(6) for norm in ("none", "batch")
    ]
    sit(path, clockwork(), seconds=10_000, **starts(*many))
    assert len(stored(path)) == 1 + len(many) > RECALLED
    executor = clockwork()
    sit(path, executor, seconds=10_000, **starts(*many))
    assert described(executor) == RECALLED
    sit(path, executor := clockwork(), **starts(*many))
    assert described(executor) == 0  # without a limit nothing has to be known


def test_points_of_the_sampler_for_which_there_is_no_time_are_drawn_anew(path: Path) -> None:
    """Only the small ones fit."""
    starts = [Start(Origin.BASELINE, depth(1))]
    sit(path, clockwork(), sampler=("optuna", "random"), seconds=100, starts=starts, trials=50, seed=1)
    drawn = [trial for trial in stored(path) if trial.origin == Origin.SAMPLER]
    assert drawn
    assert any(trial.redraws for trial in drawn)
    assert all(int(str(trial.params["depth"])) <= 3 for trial in drawn)


@pytest.mark.parametrize("why", ["a signal", "the end of the time"])
def test_no_other_point_is_drawn_for_one_that_is_too_long_once_the_search_is_to_end(path: Path, why: str) -> None:
    stop = StopRequest()

    def answer(job: Job) -> Outcome:
        if isinstance(job, DescribeJob) and len(executor.jobs) > 1:
            if why == "a signal":
                stop.asked = True
            else:
                executor.now = 100.0
        return priced(job)

    executor = Ticking(answer, takes=seconds_of)
    asked: dict[str, Any] = {"starts": [Start(Origin.BASELINE, depth(1))], "trials": 50}
    sit(path, executor, stop=stop, seconds=34, **asked)
    assert sum(isinstance(job, DescribeJob) for job in executor.jobs) == 2
    assert folds_of(path) == [(1, 3)]


def test_without_a_limit_nothing_is_too_long(path: Path) -> None:
    watcher = Watcher()
    sit(path, clockwork(), watcher, **starts(Start(Origin.START, depth(4))))
    assert folds_of(path) == [(1, 3), (4, 3)]
    assert watcher.notes == []


def test_the_baseline_is_begun_however_long_it_takes(path: Path) -> None:
    sit(path, clockwork(), seconds=15, starts=[Start(Origin.BASELINE, depth(4))], trials=1)
    assert folds_of(path) == [(4, 1)]
    assert stored(path)[0].cause == OUT_OF_TIME


# Kept weights


def keeping(job: Job) -> Outcome:
    """As `priced`; a fold run writes its weights as a worker does."""
    if isinstance(job, FoldJob) and job.keep:
        job.keep.parent.mkdir(parents=True, exist_ok=True)
        np.savez(job.keep, np.arange(3.0))
    return priced(job)


def kept_in(path: Path) -> dict[str, Any]:
    folder = StudyFolder(path.parent)
    return {
        "weights": lambda trial, fold: weights_of(folder, trial.number, fold, 1, trial.params, "f"),
        "forget": lambda numbers: forget(folder, numbers),
    }


def files(path: Path) -> list[str]:
    """'trial-1-fold-0' of each kept file."""
    return sorted(kept.name.rsplit("-", 1)[0] for kept in StudyFolder(path.parent).refits.glob("*.npz"))


def test_weights_are_kept_only_where_training_on_all_images_would_take_long(path: Path) -> None:
    """Of 1,000 s that is more than 40: a fold of 40 s, so 60 on all images, and not one of 20 s."""
    assert LONG * 1000 == 40
    executor = Ticking(keeping, takes=seconds_of)
    points = (Start(Origin.START, depth(2)), Start(Origin.START, depth(4)))
    sit(path, executor, seconds=1000, **starts(*points), **kept_in(path))
    assert {job.trial for job in executor.jobs if isinstance(job, FoldJob) and job.keep} == {2}
    assert files(path) == [f"trial-2-fold-{fold}" for fold in range(FOLDS)]
    whole = new_study(path.with_name("whole.db"))
    sit(whole, executor := Ticking(keeping, takes=seconds_of), **starts(*points), **kept_in(path))
    assert not any(job.keep for job in executor.jobs if isinstance(job, FoldJob))


def test_of_complete_trials_only_the_best_keep_their_weights(path: Path) -> None:
    points = [Start(Origin.START, depth(4, dropout=level / 10)) for level in range(5)]
    executor = Ticking(keeping, takes=seconds_of)
    sit(path, executor, seconds=1000, **starts(*points), **kept_in(path))
    long_ones = [trial for trial in stored(path) if trial.params["depth"] == 4]
    best = sorted(long_ones, key=lambda trial: -(trial.score("accuracy") or 0))[:KEPT_TRIALS]
    expected = sorted(f"trial-{trial.number}-fold-{fold}" for trial in best for fold in range(FOLDS))
    assert files(path) == expected


def test_a_resumed_search_removes_kept_weights_of_the_sessions_before(path: Path) -> None:
    points = [Start(Origin.START, depth(4, dropout=level / 10)) for level in range(5)]
    for some in (points[:2], points):
        sit(path, Ticking(keeping, takes=seconds_of), seconds=1000, **starts(*some), **kept_in(path))
    long_ones = [trial for trial in stored(path) if trial.params["depth"] == 4]
    best = sorted(long_ones, key=lambda trial: -(trial.score("accuracy") or 0))[:KEPT_TRIALS]
    assert files(path) == sorted(f"trial-{trial.number}-fold-{fold}" for trial in best for fold in range(FOLDS))


def test_a_trial_that_was_given_up_keeps_no_weights_and_one_that_ran_out_of_time_does(path: Path) -> None:
    def failing(job: Job) -> Outcome:
        outcome = keeping(job)
        fails = isinstance(job, FoldJob) and job.trial == 1 and job.fold == 1
        return Failure(FailureCause.OUT_OF_MEMORY, "it needed more") if fails else outcome

    points = (Start(Origin.START, depth(4)), Start(Origin.START, depth(4, norm="batch")))
    sit(path, Ticking(failing, takes=seconds_of), seconds=220, **starts(*points), **kept_in(path))
    _, failed, cut = stored(path)
    assert failed.state == TrialState.FAILED
    assert (cut.cause, len(cut.folds)) == (OUT_OF_TIME, 2)
    of_baseline = [f"trial-0-fold-{fold}" for fold in range(FOLDS)]
    assert files(path) == [*of_baseline, "trial-2-fold-0", "trial-2-fold-1"]


# The numbers


def a_trial(number: int, score: float, *seconds: float, state: TrialState = TrialState.COMPLETE) -> TrialRecord:
    folds = tuple(
        FoldRecord(number, 0, fold, 1, {"accuracy": score}, 1, 1, {}, 1, each) for fold, each in enumerate(seconds)
    )
    return TrialRecord(number, {}, Origin.SAMPLER, state, folds=folds)


def test_running_folds_have_a_little_of_the_time_to_end() -> None:
    assert [grace(seconds) for seconds in (60, 300, 36000)] == [pytest.approx(1.2), pytest.approx(6), 10]


def test_a_training_on_all_images_is_long_if_it_takes_much_of_the_time() -> None:
    trial = a_trial(0, 0.9, 8.0, 8.0, 8.0, 8.0, 8.0)  # 10 s on all images
    assert [is_long(trial, 5, seconds) for seconds in (None, 200.0, 251.0, 249.0)] == [False, True, False, True]


def test_trainings_on_all_images_share_the_slots() -> None:
    trials = [a_trial(n, 0.9, *[8.0] * 5) for n in range(4)]
    one, two, four = (refit_seconds(trials, 5, slots) for slots in (1, 2, 4))
    assert one > two > four == refit_seconds(trials[:1], 5, 1)


def test_time_is_reserved_for_what_can_be_made_of_the_trials_there_are() -> None:
    def kept_back(*trials: TrialRecord, seconds: float | None = 1000.0) -> float:
        return reserve(trials, "accuracy", 5, 500, seconds, 1).total

    short, long = a_trial(0, 0.8, *[8.0] * 5), a_trial(1, 0.9, *[80.0] * 5)
    assert kept_back(short, seconds=None) == kept_back() == 0.0
    assert kept_back(a_trial(0, 0.8, state=TrialState.RUNNING)) == 0.0
    assert kept_back(short) == refit_seconds([short], 5, 1) + grace(1000)
    assert kept_back(a_trial(0, 0.8, 8.0, state=TrialState.RUNNING)) == kept_back(short)
    assert kept_back(short, long) == kept_back(short)  # the networks of the long one's folds are kept
    behind = replace(long, state=TrialState.PRUNED, cause="behind", number=2)
    assert kept_back(short, behind) == kept_back(short)
    assert kept_back(long) < kept_back(short)
    short_study = replace(short, folds=a_trial(0, 0.8, *[0.2] * 5).folds)
    assert kept_back(short_study, seconds=10.0) == RESERVED * 10 + grace(10)


def test_the_time_in_which_an_ensemble_predicts_testing_images_is_kept_back_up_to_a_share(
    tmp_path: Path,
) -> None:
    """Each of its networks takes a tenth of a second for an image, and is wrong where the others are not."""
    assignment = (np.arange(300) % FOLDS).astype(np.int16)

    def answer(job: Job) -> Outcome:
        outcome = priced(job)
        if not isinstance(job, FoldJob) or not isinstance(outcome, FoldResult):
            return outcome
        luck = np.random.default_rng(job.trial).normal(0, 1, len(assignment))[job.validate]
        right = 1 / (1 + np.exp(-1 - luck))
        rows = np.where(job.validate[:, None] % 2 == [0, 1], right[:, None], 1 - right[:, None])
        return replace(outcome, latency=100.0, probabilities=rows.astype(np.float32))

    ends = []
    for testing in (0, 100, 10_000):
        executor = Ticking(answer, takes=lambda _: 4.0)
        path = new_study(tmp_path / f"{testing}.db", assignment=assignment)
        sit(path, executor, seconds=200, trials=1000, testing=testing, assignment=assignment)
        ends.append(executor.now)
    without, few, many = ends
    assert 10 <= without - few <= TESTING_SHARE * 200 + 4
    assert abs(many - few) <= 4, "where there are more of them only a part is predicted"


def test_a_fold_of_which_it_is_only_guessed_when_it_ends_leaves_time_to_start_its_worker_again(path: Path) -> None:
    """It is given up in time, if the study has another; for one of which it is known, it is waited a little instead."""
    assert patience(60, unsure=True) == grace(60) < RESTARTING == patience(60, unsure=False)
    assert patience(36000, unsure=True) == patience(36000, unsure=False) == grace(36000)
    ended = ends_without_outcomes(path, Start(Origin.BASELINE, depth(0)), Start(Origin.START, depth(1)))
    assert 60 - RESTARTING <= ended <= 60 - RESTARTING + 2 * grace(60) + TURN
    assert [trial.cause for trial in stored(path)] == [None, OUT_OF_TIME]


def test_the_first_fold_of_a_study_may_come_late_but_not_by_much(path: Path) -> None:
    """A model that comes late is worth more than none."""
    ended = ends_without_outcomes(path, Start(Origin.BASELINE, depth(1)))
    assert 60 + FIRST_FOLD <= ended <= 60 + FIRST_FOLD + 2 * grace(60) + TURN
    assert stored(path)[0].cause == OUT_OF_TIME


@pytest.mark.parametrize(("others", "folds"), [(0.1, FOLDS), (3.0, 1)])
def test_the_first_trial_gets_its_other_folds_late_too_where_they_take_a_moment(
    path: Path, others: float, folds: int
) -> None:
    """Its first computes features, which takes all of the time; what it says of new pictures is that of one fold."""

    def answer(job: Job) -> Outcome:
        if not isinstance(job, DescribeJob):
            return by_formula(job)
        head = Layer("output", "Dense", (2,), 100, "2 units")
        trained = others * SPEED / TRAIN / 40 if others > 1 else 0.0  # nothing for a head that is fitted at once
        return Description(100, 1600, (head,), macs=SPEED / TRAIN, views=("view",), training_macs=trained)

    executor = Ticking(answer, takes=lambda job: 20.0 if job.fold == 0 else others)
    sit(path, executor, seconds=20, starts=[Start(Origin.BASELINE, depth(1))], trials=1)
    assert [len(trial.folds) for trial in stored(path)] == [folds]


def ends_without_outcomes(path: Path, *points: Start) -> float:
    """When a search of 60 seconds ends whose fold runs do not, but for those of no depth."""
    executor = Clockless(now=[0.0])
    watcher = Watcher(act=lambda _: executor.now.__setitem__(0, executor.now[0] + TURN))
    sit(path, executor, watcher, seconds=60, starts=points, trials=len(points))
    return executor.now[0]


class Clockless(Hands):
    """Its fold runs never end, but for those of no depth, and its clock is moved by the test."""

    def __init__(self, now: list[float]) -> None:
        super().__init__()
        self.answer, self.now = priced, now

    def clock(self) -> float:
        return self.now[0]

    def submit(self, job: Job) -> Future[Outcome]:
        future = super().submit(job)
        if isinstance(job, FoldJob) and job.params["depth"] == 0:
            self.end(-1, replace(result_of(job), seconds=seconds_of(job)))
        return future
