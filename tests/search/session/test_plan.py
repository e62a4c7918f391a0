"""What a plan decides before a fold run: how many epochs it has at most, and its job."""

from __future__ import annotations

import numpy as np
import pytest

from search.jobs import FitOptions
from search.session.plan import Start, epochs_of, fold_job, still_to_try
from spaces import Value
from spaces.presets import PRESETS
from storage import Split, TrialRecord
from storage.records import Origin

ASSIGNMENT = np.array([0, 1, -1, 0, 1], np.int16)


@pytest.mark.parametrize(
    ("preset", "params", "epochs"),
    [
        (None, {}, 40),
        (None, {"epochs": 6}, 6),
        ("cnn", {}, 40),
        ("cnn", {"epochs": 9}, 9),
        ("fine-tune", {"epochs": 4}, 4),
        ("auto", {"family": "cnn"}, 40),
        ("auto", {"family": "cnn", "epochs": 3}, 3),
        ("auto", {"family": "fine-tune", "fine_tune_epochs": 4}, 4),
    ],
    ids=str,
)
def test_a_point_with_epochs_has_so_many_and_any_other_what_the_study_allows(
    preset: str | None, params: dict[str, Value], epochs: int
) -> None:
    assert epochs_of(params, 40, PRESETS[preset] if preset else None) == epochs


def test_a_fold_is_validated_on_its_own_images_with_a_seed_of_its_own_in_every_repeat() -> None:
    trial = TrialRecord(number=3, params={"rate": 0.1}, origin=Origin.SAMPLER)
    options = FitOptions(max_epochs=5)
    jobs = [
        fold_job(trial, fold, Split(repeat, assignment), seed=7, options=options)
        for repeat, assignment in enumerate((ASSIGNMENT, ASSIGNMENT[::-1].copy()))
        for fold in (0, 1)
    ]
    assert [(job.trial, job.repeat, job.fold) for job in jobs] == [(3, 0, 0), (3, 0, 1), (3, 1, 0), (3, 1, 1)]
    assert [job.validate.tolist() for job in jobs] == [[0, 3], [1, 4], [1, 4], [0, 3]]
    assert [job.train.tolist() for job in jobs] == [[1, 4], [0, 3], [0, 3], [1, 4]]
    assert len({job.seed for job in jobs}) == 4
    assert all(job.training is options and job.params == trial.params for job in jobs)


def starts() -> list[Start]:
    return [
        Start(Origin.BASELINE, {"depth": 1}),
        Start(Origin.START, {"depth": 2}, one_of="deep"),
        Start(Origin.START, {"depth": 1}),  # a known-good point that this study cannot have is the baseline again
        Start(Origin.START, {"depth": 3}, one_of="deep"),
        Start(Origin.TRY, {"depth": 4}),
        Start(Origin.TRY, {"depth": 4}),
    ]


@pytest.mark.parametrize(
    ("tried", "left"),
    [
        ([], [1, 2, 3, 4]),
        ([1], [2, 3, 4]),
        ([1, 2], [4]),
        ([1, 3], [4]),
        ([4], [1, 2, 3]),
        ([1, 2, 4], []),
        ([9], [1, 2, 3, 4]),
    ],
    ids=str,
)
def test_a_start_is_tried_once_and_no_alternative_to_one_that_was(tried: list[int], left: list[int]) -> None:
    trials = [TrialRecord(number, {"depth": depth}, Origin.START) for number, depth in enumerate(tried)]
    assert [start.point["depth"] for start in still_to_try(starts(), trials)] == left
