"""The benchmark compares like with like: every side does the same steps on the same images. Nothing is timed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from search.commands.check import look_over
from storage import Store
from tests.bench import adam, durations, gate, kernels, loop, trials
from tests.bench.__main__ import PARTS, main
from tests.bench.cases import CASES, LENET, Case, Data

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
    assert {"building the model", "training epochs", "validation passes", "all else"} <= split.keys()
    assert all(seconds >= 0 for seconds in split.values())


def test_where_tensorflows_time_goes_is_told_by_kind_of_kernel(tmp_path: Path) -> None:
    shares = kernels.shares(trials.side("ours", Data(TINY), tmp_path).trials[trials.WARM])
    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 < shares[kind] < 1 for kind in ("convolutions", "pooling", "dense layers", "optimizer", "all else"))


def test_both_steps_of_adam_train_the_same(tmp_path: Path) -> None:
    fused, keras = (trial() for trial in adam.sides(Data(TINY), tmp_path).values())
    np.testing.assert_allclose(fused, keras, rtol=1e-5)


def test_the_loop_is_measured_beside_stored_trials(tmp_path: Path) -> None:
    path = loop.stored_study(tmp_path / "study.db", 5)
    row = loop.a_session(path, 5)
    assert re.fullmatch(r"\| 5 \| [\d.]+ \|( \d+ \|){4}", row)
    with Store.open(path, read_only=True) as store:
        assert len(store.trials()) == 5 + loop.MEASURED


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
