"""Where the time went, and what single trials confuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reports.wording import spent as words
from search.results.confusions import DETAILED
from search.results.spent import CONFIRMING, CURVE, FINAL, OTHER, REFERENCES, TRAINING
from storage.records import ChoiceRecord
from tests.studies import example, many, probabilities, references, with_backbones, with_parts


def test_the_parts_are_training_by_family_references_the_model_and_what_is_missing_to_the_clock() -> None:
    records = with_backbones()
    choice = ChoiceRecord("2026-01-01T00:00:00+00:00", 7, ((7, 1.0),), (), 0, 30.0, None)
    data = replace(records, references=references(majority=0.5), choices=(choice,)).data()
    parts = {(part.kind, part.family): part.seconds for part in data.spent}
    assert {family for kind, family in parts if kind == TRAINING} == {"cnn", "frozen", "fine-tune"}
    training = sum(seconds for (kind, _), seconds in parts.items() if kind == TRAINING)
    assert training == pytest.approx(data.trained_seconds)
    assert parts[REFERENCES, ""] == pytest.approx(2.5) and parts[FINAL, ""] == 30.0
    assert sum(parts.values()) == pytest.approx(data.spent_seconds)
    assert data.spent[-1].kind == OTHER


def test_the_learning_curve_is_a_part_of_its_own_and_all_else_is_told_as_the_least() -> None:
    records = with_parts(0.6, 0.7, 0.75, 0.78)
    data = records.data()
    parts = {part.kind: part for part in data.spent}
    assert parts[CURVE].seconds == pytest.approx(sum(record.seconds for record in records.parts)) != 0
    assert sum(part.seconds for part in data.spent) == pytest.approx(data.spent_seconds)
    assert words.name(parts[OTHER]) == "starting, reading pictures, waiting"
    assert "and more if several jobs ran at once." in words.about(data)


def test_folds_that_confirm_are_apart_and_with_several_workers_nothing_is_called_missing() -> None:
    records = example()
    again = tuple(
        replace(t, folds=(*t.folds, replace(t.folds[0], repeat=1, seconds=9.0))) if t.number == 7 else t
        for t in records.trials
    )
    runs = tuple(replace(run, seconds=10.0) for run in records.runs)
    parts = {part.kind: part.seconds for part in replace(records, trials=again, runs=runs).data().spent}
    assert parts[CONFIRMING] == 9.0 and OTHER not in parts


def test_without_anything_stored_there_are_no_parts() -> None:
    assert replace(example(), trials=(), runs=(), probabilities={}).data().spent == ()


def test_confusions_are_those_of_each_trial_on_the_images_that_it_predicted() -> None:
    records = example()
    part = {fold: rows for fold, rows in records.probabilities.items() if fold < 2}
    data = replace(records, others={7: records.probabilities, 3: part}).data()
    assert set(data.confusions) == {3, 7}
    assert data.pooled is not None
    np.testing.assert_array_equal(data.confusions[7], data.pooled.confusion)
    assert data.confusions[3].sum() == sum(map(len, part.values()))
    assert example().data().confusions == {}


def test_confusions_are_counted_for_the_best_trials_only() -> None:
    records = many(DETAILED + 20)
    predicted = probabilities(records.images, records.split, 0.8, 2)
    data = replace(records, others={t.number: predicted for t in records.trials if t.folds}).data()
    assert len(data.confusions) == DETAILED
    assert set(data.confusions) == {row.number for row in data.rows[:DETAILED]}
