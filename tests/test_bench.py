"""The benchmark compares like with like: every side does the same steps on the same images. Nothing is timed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from search.commands.check import look_over
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from storage import Store
from tests.bench import (
    anytime,
    bank,
    choices,
    durations,
    gate,
    gpu,
    kernels,
    labels,
    loop,
    more,
    studies,
    trials,
    unknown,
)
from tests.bench.__main__ import PARTS, main
from tests.bench.cases import CASES, LENET, Case, Data
from tests.pictures import make_pictures

TINY = Case("tiny", images=80, side=8, preset="question", changes=LENET, epochs=2, folds=1)


@pytest.fixture
def optimizers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every Adam that is made."""
    made: list[Any] = []

    class Noted(keras.optimizers.Adam):  # type: ignore[misc]
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            made.append(self)

    monkeypatch.setattr(keras.optimizers, "Adam", Noted)
    yield made
    keras.backend.clear_session()


@pytest.mark.first(1)
@pytest.mark.parametrize("process", trials.PROCESSES)
def test_every_side_takes_the_same_steps_and_predicts_the_validation_images(
    process: str, optimizers: list[Any], tmp_path: Path
) -> None:
    side = trials.side(process, Data(TINY), tmp_path)
    assert tuple(side.trials) == trials.PROCESSES[process]
    for trial in side.trials.values():
        (said,) = trial()
        assert said.shape == (16, 2)
        np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-4)
        assert said.std() > 0  # it depends on the image
        assert max(int(optimizer.iterations) for optimizer in optimizers) == TINY.steps == 4


def test_where_a_fold_runs_seconds_go_is_told_by_part(tmp_path: Path) -> None:
    side = trials.side("ours", Data(TINY), tmp_path)
    side.trials[trials.WARM]()
    split = side.split()
    assert {"drawing first weights", "training epochs", "validation passes", "all else"} <= split.keys()
    assert all(seconds >= 0 for seconds in split.values())


def test_where_tensorflows_time_goes_is_told_by_kind_of_kernel(tmp_path: Path) -> None:
    shares = kernels.shares(trials.side("ours", Data(TINY), tmp_path).trials[trials.WARM])
    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 < shares[kind] < 1 for kind in ("convolutions", "pooling", "dense layers", "optimizer", "all else"))


@pytest.mark.slow
def test_what_of_a_search_is_not_training_is_told(tmp_path: Path) -> None:
    told = "\n".join(studies.demo(tmp_path, trials=2, epochs=1))
    search, at_work = (float(re.findall(rf"{what} \| ([0-9.]+)", told)[0]) for what in ("fold", "the loop at work"))
    assert 0 < at_work < search


def test_the_loop_is_measured_beside_stored_trials(tmp_path: Path) -> None:
    path = loop.stored_study(tmp_path / "study.db", 5)
    row = loop.a_session(path, 5, "tpe", 20)
    assert re.fullmatch(r"\| tpe \| 5 \|( [\d.,]+ \|){7}", row)
    with Store.open(path, read_only=True) as store:
        assert len(store.trials()) == 5 + 20


def test_a_large_study_repeats_fold_runs_but_no_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "DIFFERENT", 3)
    with Store.open(loop.stored_study(tmp_path / "study.db", 8), read_only=True) as store:
        trials = store.trials()
    assert [len(trial.folds) for trial in trials] == 8 * [loop.FOLDS]
    assert trials[7].folds[0].scores == trials[1].folds[0].scores
    assert len({str(trial.params) for trial in trials}) == 8


def test_networks_at_every_size_are_what_their_names_say() -> None:
    kinds = {case.name: [type(layer).__name__ for layer in case.network().layers] for case in CASES}
    for name, layers in kinds.items():
        gap = "GAP" in name
        assert ("BatchNormalization" in layers) == ("GlobalAveragePooling2D" in layers) == gap
        assert ("Flatten" in layers) != gap


def test_a_part_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["folds"])
    assert refused.value.code == 2
    assert "there is no part folds; name any of " + ", ".join(PARTS) in capsys.readouterr().err


def test_the_gate_s_pictures_differ_but_for_the_copies_that_were_planted(tmp_path: Path) -> None:
    planted = gate.pictures(tmp_path, 200)
    images, found = look_over(tmp_path, None, None)
    assert images.pixels.shape == (200, gate.SIDE, gate.SIDE, 3)
    pairs = {frozenset((pair.first.path, pair.second.path)): pair.exact for pair in found.pairs}
    assert pairs.keys() == planted
    assert Counter(pairs.values()) == {True: 2, False: 4}


def test_a_part_of_a_data_set_has_as_many_pictures_of_each_class_as_of_any_other(tmp_path: Path) -> None:
    durations.generated(tmp_path / "all", 12)
    durations.part_of(tmp_path / "all", tmp_path / "part", 10)
    assert sorted(len([*folder.iterdir()]) for folder in (tmp_path / "part").iterdir()) == [2, 2, 3, 3]
    with pytest.raises(ValueError, match="has 3 pictures of cross; 16 pictures need 4"):
        durations.part_of(tmp_path / "all", tmp_path / "more", 16)


@pytest.mark.slow
def test_a_banked_study_has_the_truth_of_its_trials_and_rules_are_replayed_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = make_pictures(tmp_path / "set", {"a": 15, "b": 15}, testing={"a": 10, "b": 10})
    asked = [str(pictures), "--into", str(tmp_path / "bank"), "--images", "30", "--seeds", "0", "--trials", "2"]
    bank.main([*asked, "--epochs", "1", "--preset", "question"])
    assert "2 trials, 2 with folds, 2 in truth" in capsys.readouterr().out
    study = bank.Banked.read(tmp_path / "bank" / "set-30-question-0.npz")
    assert np.bincount(study.labels).tolist() == [15, 15]
    assert np.bincount(study.testing).tolist() == [10, 10]
    assert study.oof.shape == (2, 30, 2)
    assert study.truth.shape == (2, 20, 2)
    np.testing.assert_allclose(study.truth.sum(axis=2), 1, rtol=1e-4)
    choices.main([str(tmp_path / "bank")])
    table = capsys.readouterr().out
    assert all(f"| 30 | 1 | {rule} |" in table for rule in choices.RULES)
    bank.main([*asked, "--preset", "question"])
    assert capsys.readouterr().out == "set-30-question-0: there already\n"


def test_shuffled_pictures_keep_their_number_a_class_and_lose_what_they_showed(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "set", {"a": 10, "b": 10})
    bank.drawn(pictures, tmp_path / "drawn", 20, 0, shuffled=True)
    rows = {name: {int(path.stem) for path in (tmp_path / "drawn" / "training" / name).iterdir()} for name in "ab"}
    assert {name: len(numbers) for name, numbers in rows.items()} == {"a": 10, "b": 10}
    assert rows["a"] & set(range(10))
    assert rows["a"] & set(range(10, 20))


def test_results_of_so_many_seconds_are_told_with_those_that_came_too_late() -> None:
    ours = [
        anytime.Row(
            "set", seed, 30, anytime.OURS, 30 + 3 * seed, accuracy, accuracy, "frozen", claim=0.92, low=0.85, high=0.97
        )
        for seed, accuracy in enumerate((0.9, 0.8))
    ]
    others = [anytime.Row("set", 0, 30, "pixels", 60.0, 0.5, 0.5), anytime.Row("set", 0, 30, "probe", 30.0)]
    table = [*anytime.tables([*ours, *others], (anytime.OURS, "pixels", "probe"))]
    assert "| set | 30 | 85.0 (2 of 2) | [50.0] | none |" in table
    assert "| set | 30 | 1 | 33 | 0 | 0 | 0 | frozen | 80.0 | 92.0 (85.0 to 97.0) | +12.0 | no |" in table
    assert table[-1] == "Claims minus test: +7.0 points on average; 1 of 2 intervals hold the score."


@pytest.mark.parametrize("side", labels.SIDES)
def test_planted_labels_are_of_another_class_and_easy_ones_are_found(side: str) -> None:
    random, right = np.random.default_rng(0), np.arange(60, dtype=np.int16) % 3
    wrong, where = labels.planted(right, 0.05, seed=1)
    assert where.sum() == 3 and (wrong[where] != right[where]).all() and (wrong[~where] == right[~where]).all()
    apart = (10 * np.eye(3)[right] + random.normal(0, 0.1, (60, 3))).astype(np.float32)
    pictures = labels.Pictured("made", apart, apart, right, Facts(8, 8, 1, 3, 60, (LITE0,)))
    accuracy, alike, twice, above, accused = labels.tried(pictures, side, 0.05, seed=1)
    assert (accuracy, alike, twice) == (1, 1, 1)
    assert above > 0.6 and accused == 0


def test_more_pictures_bring_more_and_a_larger_draw_contains_a_smaller_one() -> None:
    random, right = np.random.default_rng(0), np.arange(400, dtype=np.int16) % 2
    features = (random.normal(0, 1, (400, 20)) + 0.4 * right[:, None]).astype(np.float32)
    pictures = labels.Pictured("made", features, features, right, Facts(8, 8, 1, 2, 400, (LITE0,)))
    tried = more.tried(pictures, 40, seed=1)
    assert [gain.times for gain in tried.gains] == [2, 4]
    once, _, four_times = tried.measured
    assert once < four_times


@pytest.mark.parametrize("name", unknown.DISTANCES)
def test_each_distance_refuses_about_the_share_of_its_own_and_more_of_another_kind(name: str) -> None:
    random = np.random.default_rng(0)

    def around(*middles: int, images: int) -> NDArray[np.float32]:
        places = 8 * np.eye(8, dtype=np.float32)[list(middles)]
        return np.asarray(
            np.repeat(places, images, axis=0) + random.normal(0, 1, (images * len(middles), 8)), np.float32
        )

    known, right = around(0, 1, images=100), np.repeat(np.arange(2, dtype=np.int16), 100)
    own, foreign = unknown.refused(
        unknown.DISTANCES[name], known, right, [around(0, 1, images=200), around(3, 4, images=100)]
    )
    assert own < 0.12 and foreign > own


def test_a_way_that_compiles_pays_from_the_fold_run_that_makes_up_for_it() -> None:
    plain = gpu.Taken(first=12.0, warm=10.0, runs=5, device="GPU", answers=np.zeros((5, 2, 2), np.float32))
    compiled = gpu.Taken(first=12.0, warm=4.0, runs=20, device="GPU", answers=np.full((5, 2, 2), 0.1, np.float32))
    assert compiled.pays_from(plain) == "4", "6 s more to begin with, 1.8 s less a run"
    assert plain.pays_from(compiled) == "never"
    assert compiled.differs(plain) == pytest.approx(0.1)


@pytest.mark.slow
def test_fold_runs_side_by_side_are_compared_with_those_of_one_trial() -> None:
    way = gpu.Way(gpu.SIDE_BY_SIDE, 2)
    assert way.words == "10 side by side"
    plain, together = (gpu.seconds(replace(TINY, folds=2), one, 1) for one in (gpu.Way(gpu.PLAIN), way))
    assert (plain.runs, together.runs) == (2, 4)
    assert together.differs(plain) < 1e-4
