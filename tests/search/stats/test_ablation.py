"""The greedy path of Fawcett and Hoos on tables of scores, with a race and without; the interval of a difference."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.stats.ablation import Known, Made, Walk, gain_of, walk

FOLDS, IMAGES = 3, 20
Table = dict[Made, tuple[float, ...]]  # point -> score of each fold


def points(names: str) -> Iterator[Made]:
    return (frozenset(some) for n in range(len(names) + 1) for some in itertools.combinations(names, n))


@st.composite
def additive(draw: st.DrawFn) -> tuple[str, Table]:
    """Each change is worth the same wherever it is made; in 64ths, whose sums are exact."""
    names = "abcde"[: draw(st.integers(1, 5))]
    worth = {name: draw(st.integers(-6, 6)) / 64 for name in names}
    return names, {made: (0.5 + sum(worth[name] for name in made),) * FOLDS for made in points(names)}


@st.composite
def interacting(draw: st.DrawFn) -> tuple[str, Table]:
    """Any score at any point and fold."""
    names = "abcd"[: draw(st.integers(1, 4))]
    scores = st.tuples(*[st.integers(0, 64).map(lambda n: n / 64)] * FOLDS)
    return names, {made: draw(scores) for made in points(names)}


def far_behind(point: Known, leader: Known) -> bool:
    """A race by means alone; both have the same folds."""
    assert point.scores.keys() == leader.scores.keys() == point.contributions.keys()
    return float(np.mean([*point.scores.values()])) < float(np.mean([*leader.scores.values()])) - 0.2


@dataclass
class Trained:
    """Points that were trained so far, each by an entry of the table."""

    names: str
    table: Table
    behind: Callable[[Known, Known], bool] | None = None
    known: dict[Made, Known] = field(default_factory=dict)

    def walk(self) -> Walk:
        return walk(
            self.names,
            lambda made: [name for name in self.names if name not in made],
            lambda made: self.known.get(made, Known()),
            self.behind,
            "accuracy",
            FOLDS,
        )

    def train(self, made: Made, fold: int) -> None:
        before = self.known.get(made, Known())
        assert fold not in before.scores, "asked for twice"
        score = self.table[made][fold]
        contributions = (np.arange(IMAGES) < score * IMAGES).astype(float)
        self.known[made] = Known(
            {**before.scores, fold: score}, {**before.contributions, fold: contributions}, before.failed
        )

    def to_the_end(self, pick: Callable[[int], int] = lambda _: 0) -> Walk:
        """What is left at most goes down by one at least with each training, and reaches 0."""
        left = self.walk().left
        while (walked := self.walk()).needed:
            assert len(walked.needed) <= walked.left <= left
            self.train(*walked.needed[pick(len(walked.needed))])
            left = walked.left - 1
        assert walked.left == 0
        return walked


def order(walked: Walk) -> list[str]:
    return ["".join(sorted(step.after - step.before)) for step in walked.steps]


@given(additive(), st.sampled_from([None, lambda _point, _leader: False, far_behind]))
def test_changes_that_add_up_are_made_from_the_best_to_the_worst(
    example: tuple[str, Table], behind: Callable[[Known, Known], bool] | None
) -> None:
    """Whether they race or not."""
    names, table = example
    walked = Trained(names, table, behind).to_the_end()
    worth = {name: table[frozenset(name)][0] - 0.5 for name in names}
    assert order(walked) == sorted(names, key=lambda name: -worth[name])
    assert walked.end == frozenset(names)


@given(interacting())
def test_each_step_is_the_best_change_that_is_left(example: tuple[str, Table]) -> None:
    names, table = example
    trained = Trained(names, table)
    here = frozenset[str]()
    for step in trained.to_the_end().steps:
        assert step.before == here
        others = [here | {name} for name in names if name not in here]
        assert np.mean(table[step.after]) == max(np.mean(table[other]) for other in others)
        here = step.after
    assert here == frozenset(names)
    assert all(len(known.scores) == FOLDS for known in trained.known.values())


@given(interacting(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_the_path_and_what_is_trained_do_not_depend_on_who_ends_first(
    example: tuple[str, Table], chance: random.Random
) -> None:
    names, table = example
    in_order = Trained(names, table, far_behind)
    shuffled = Trained(names, table, far_behind)
    first, second = in_order.to_the_end(), shuffled.to_the_end(chance.randrange)
    assert first == second
    assert {made: known.scores for made, known in in_order.known.items()} == {
        made: dict(sorted(known.scores.items())) for made, known in shuffled.known.items()
    }


def test_of_changes_that_differ_by_rounding_alone_the_surer_one_is_made() -> None:
    """The means of both are 0.3 in exact arithmetic; in doubles that of b is larger."""
    table = dict.fromkeys(points("ab"), (0.9,) * FOLDS)
    table |= {frozenset(): (0.1,) * FOLDS, frozenset("a"): (0.3, 0.3, 0.3), frozenset("b"): (0.2, 0.4, 0.3)}
    assert np.mean(table[frozenset("b")]) > np.mean(table[frozenset("a")])
    assert Trained("ba", table).to_the_end().steps[0].after == frozenset("a")


def test_a_change_that_is_far_behind_is_not_trained_further_and_the_path_is_the_same() -> None:
    worth = {"a": 0.4, "b": 0.0, "c": 0.05}
    table = {made: (0.5 + sum(worth[name] for name in made),) * FOLDS for made in points("abc")}
    raced, whole = Trained("abc", table, far_behind), Trained("abc", table)
    assert order(raced.to_the_end()) == order(whole.to_the_end()) == ["a", "c", "b"]
    assert len(raced.known[frozenset("b")].scores) == 1
    assert len(raced.known[frozenset("a")].scores) == FOLDS
    assert sum(len(known.scores) for known in raced.known.values()) < sum(
        len(known.scores) for known in whole.known.values()
    )


def test_from_the_second_step_on_the_better_half_goes_on_after_each_fold() -> None:
    worth = {"a": 0.3, "b": 0.04, "c": 0.03, "d": 0.02, "e": 0.01}
    table = {made: (0.5 + sum(worth[name] for name in made),) * FOLDS for made in points("abcde")}
    trained = Trained("abcde", table, lambda _point, _leader: False)
    assert order(trained.to_the_end()) == ["a", "b", "c", "d", "e"]
    assert [len(trained.known[frozenset(name)].scores) for name in "abcde"] == [FOLDS] * 5
    second = [len(trained.known[frozenset(["a", name])].scores) for name in "bcde"]
    assert second == [FOLDS, 2, 1, 1]


@pytest.mark.parametrize(("behind", "runs"), [(None, 6 + 12 + 9 + 6), (lambda _point, _leader: False, 6 + 12 + 6 + 4)])
def test_what_is_left_at_most_is_all_that_is_left_where_no_change_is_clearly_behind(
    behind: Callable[[Known, Known], bool] | None, runs: int
) -> None:
    table = dict.fromkeys(points("abcd"), (0.5,) * FOLDS)
    trained = Trained("abcd", table, behind)
    assert trained.walk().left == runs
    trained.to_the_end()
    assert sum(len(known.scores) for known in trained.known.values()) == runs


def test_a_change_that_cannot_be_trained_is_made_later() -> None:
    table = {made: (0.5 + 0.1 * len(made),) * FOLDS for made in points("abc")}
    trained = Trained("abc", table)
    trained.known = {frozenset("a"): Known(failed=True), frozenset("ab"): Known(failed=True)}
    assert order(trained.to_the_end()) == ["b", "c", "a"]


def test_where_no_change_alone_can_be_trained_all_are_made_at_once() -> None:
    table = dict.fromkeys(points("ab"), (0.5,) * FOLDS)
    trained = Trained("ab", table)
    trained.known = {frozenset(name): Known(failed=True) for name in "ab"}
    assert order(trained.to_the_end()) == ["ab"]


def known(*scores: float) -> Known:
    return Known(dict(enumerate(scores)))


def test_the_interval_is_that_of_nadeau_and_bengio() -> None:
    """Gaps 0.1, 0.2, 0.3: standard deviation 0.1; its error 0.1 sqrt(1/3 + 1/2), with t of 2 degrees, 4.3027."""
    made = gain_of(known(0.5, 0.5, 0.5), known(0.6, 0.7, 0.8), "accuracy", 3, 100_000)
    assert made.mean == pytest.approx(0.2)
    assert made.half == pytest.approx(4.302653 * 0.1 * (1 / 3 + 1 / 2) ** 0.5, rel=1e-5)
    assert not made.clear


def test_folds_that_are_alike_by_chance_do_not_make_it_certain() -> None:
    """At least 20 of 100 predictions differ: McNemar's error is sqrt(0.2 / 100)."""
    made = gain_of(known(0.5, 0.5, 0.5), known(0.7, 0.7, 0.7), "accuracy", 3, 100)
    assert made.half == pytest.approx(1.96 * (0.2 / 100) ** 0.5)
    assert made.clear


def test_points_that_are_right_about_other_images_are_not_alike() -> None:
    """All of 60 images differ, as many for the better as for the worse: a standard deviation of 1."""
    right = np.tile([1.0, 0.0], IMAGES // 2)
    scores = dict.fromkeys(range(FOLDS), 0.5)
    before, after = (Known(scores, dict.fromkeys(range(FOLDS), each)) for each in (right, 1 - right))
    made = gain_of(before, after, "accuracy", FOLDS, FOLDS * IMAGES)
    assert made.mean == 0
    assert made.half == pytest.approx(1.96 * (60 / 59) ** 0.5 / 60**0.5)


def test_a_smaller_loss_is_a_gain_and_few_folds_have_no_interval() -> None:
    assert gain_of(known(1.0, 1.0, 1.0), known(0.5, 0.6, 0.7), "log_loss", 3, 100).mean == pytest.approx(0.4)
    assert gain_of(known(0.5), known(0.7, 0.7, 0.7), "accuracy", 3, 100).half is None
    assert gain_of(known(0.5, 0.5), known(0.7, 0.7), "accuracy", 2, 100).half is not None
    assert np.isnan(gain_of(known(), known(0.7), "accuracy", 3, 100).mean)
