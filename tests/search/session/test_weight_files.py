"""Where kept weights and packed models lie: by a name that says what made them, and they go when they are of no use."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.jobs import FitOptions, FoldJob
from search.session.weight_files import forget, is_intact, model_of, weights_of
from search.study.folder import StudyFolder


def a_job(**changes: object) -> FoldJob:
    rows = np.arange(4, dtype=np.int32)
    job = FoldJob(3, 0, 1, {"rate": 0.1}, rows, rows, 17, FitOptions(5))
    return replace(job, **changes)  # type: ignore[arg-type]


def test_weights_have_a_file_of_their_own_for_whatever_decides_them(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    same = (3, 1, 17, {"rate": 0.1}, "images")
    assert weights_of(folder, *same) == weights_of(folder, *same)
    others = [
        (4, 1, 17, {"rate": 0.1}, "images"),
        (3, 2, 17, {"rate": 0.1}, "images"),
        (3, 1, 18, {"rate": 0.1}, "images"),
        (3, 1, 17, {"rate": 0.2}, "images"),
        (3, 1, 17, {"rate": 0.1}, "other images"),
    ]
    paths = {weights_of(folder, *each) for each in (same, *others)}
    assert len(paths) == 6
    assert all(path.is_absolute() and path.parent == folder.refits.absolute() for path in paths)


def test_a_model_has_a_file_of_its_own_for_whatever_decides_it(tmp_path: Path) -> None:
    folder, options = StudyFolder(tmp_path), FitOptions(5)
    paths = {
        model_of(folder, a_job(), options, "images"),
        model_of(folder, a_job(trial=4), options, "images"),
        model_of(folder, a_job(seed=18), options, "images"),
        model_of(folder, a_job(params={"rate": 0.2}), options, "images"),
        model_of(folder, a_job(), FitOptions(6), "images"),
        model_of(folder, a_job(), options, "other images"),
    }
    assert len(paths) == 6
    assert model_of(folder, a_job(), options, "images") in paths


def test_kept_weights_of_some_trials_are_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    weights = {
        (number, fold): weights_of(folder, number, fold, 17, {"rate": 0.1}, "images")
        for number in (1, 2, 12)
        for fold in (0, 1)
    }
    packed = model_of(folder, a_job(trial=1), FitOptions(5), "images")
    packed.parent.mkdir(parents=True)
    for path in (*weights.values(), packed):
        path.write_bytes(b"some")
    forget(folder, [1, 7])
    assert {key for key, path in weights.items() if path.exists()} == {(2, 0), (2, 1), (12, 0), (12, 1)}
    assert packed.exists()
    forget(folder, [1])  # that are gone already
    forget(StudyFolder(tmp_path / "never made"), [1])


@pytest.mark.parametrize("ending", ["keras", "npz"])
@pytest.mark.parametrize(
    ("damage", "whole"),
    [
        (lambda content: content, True),
        (lambda content: content[: len(content) // 2], False),
        (lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:], False),
        (lambda content: b"milk " * len(content), False),
        (lambda content: content[:0], False),
    ],
    ids=["as written", "cut short", "one bit", "of another kind", "empty"],
)
def test_a_file_of_a_network_is_taken_again_only_where_it_is_as_it_was_written(
    tmp_path: Path, damage: Callable[[bytes], bytes], whole: bool, ending: str
) -> None:
    path = tmp_path / f"trial-0.{ending}"
    if ending == "npz":
        np.savez(path, np.arange(300.0), np.ones((3, 3)))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", bytes(1000))
            archive.writestr("config.json", "{}")
    path.write_bytes(damage(path.read_bytes()))
    assert is_intact(path) == whole
    assert not is_intact(tmp_path / f"missing.{ending}")
