"""The out-of-fold predictions of what is saved, and the images that are worth looking at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from search.results.labels import SHOWN, shown
from search.results.pictures import rows_shown
from search.results.shipped import OF_A_PAIR, PICTURES, UNSURE
from storage.records import ChoiceRecord
from tests.studies import Records, example


def choice(*members: tuple[int, float]) -> ChoiceRecord:
    return ChoiceRecord("2026-01-01T00:00:00+00:00", members[0][0], members, (), 0, 1.0, None)


def with_choice(records: Records, *members: tuple[int, float]) -> Records:
    """The example, where trial 5 predicts the opposite of trial 7, and these members are saved."""
    other = {fold: rows[:, ::-1].copy() for fold, rows in records.probabilities.items()}
    return replace(records, others={5: other, 7: records.probabilities}, choices=(choice(*members),))


def flat(records: Records, probabilities: dict[int, NDArray[np.float32]]) -> NDArray[np.float64]:
    """[images in folds, classes]."""
    everything = np.zeros((len(records.images), 2))
    for fold, rows in probabilities.items():
        everything[records.split.assignment == fold] = rows
    return everything[records.split.assignment >= 0]


def test_the_confusion_matrix_is_that_of_the_saved_model_not_of_the_best_trial() -> None:
    records = example()
    best = records.data().pooled
    saved = with_choice(records, (5, 1.0)).data().pooled
    assert best is not None and saved is not None
    assert best.members == ((7, 1.0),) and saved.members == ((5, 1.0),)
    assert (saved.confusion == best.confusion[:, ::-1]).all()
    assert (saved.images, saved.folds) == (110, 5)


def test_of_an_ensemble_it_is_the_weighted_mean_and_models_of_several_folds_count_once() -> None:
    records = example()
    pooled = with_choice(records, (7, 0.3), (5, 0.4), (7, 0.3)).data().pooled
    assert pooled is not None and pooled.members == ((7, 0.6), (5, 0.4))
    mean = 0.6 * flat(records, records.probabilities) + 0.4 * flat(records, records.probabilities)[:, ::-1]
    labels = np.array([image.label for image in records.images])[records.split.assignment >= 0]
    assert pooled.metrics["accuracy"] == pytest.approx((mean.argmax(axis=1) == labels).mean())


def test_without_the_predictions_of_a_member_the_best_trial_stands_in() -> None:
    records = example()
    pooled, best = with_choice(records, (5, 0.5), (2, 0.5)).data().pooled, records.data().pooled
    assert pooled is not None and best is not None
    assert (pooled.members, pooled.metrics) == (best.members, best.metrics) == (((7, 1.0),), best.metrics)


def test_folds_that_the_saved_trial_lacks_are_left_out() -> None:
    records = example()
    part = {fold: rows for fold, rows in records.probabilities.items() if fold < 2}
    data = replace(records, others={7: part}, choices=(choice((7, 1.0)),)).data()
    assert data.pooled is not None and (data.pooled.images, data.pooled.folds) == (44, 2)
    rows = {example.row for mistaken in data.telling.mistakes for example in mistaken.examples}
    assert {int(records.split.assignment[row]) for row in rows} <= {0, 1}


def test_mistakes_are_counted_by_class_pair_and_the_most_confident_come_first() -> None:
    records = example(("cats", "dogs", "birds"), per_class=45)
    data = records.data()
    assert data.pooled is not None
    counts = {(m.label, m.predicted): m.count for m in data.telling.mistakes}
    wrong = data.pooled.confusion.copy()
    np.fill_diagonal(wrong, 0)
    assert counts == {(int(i), int(j)): int(wrong[i, j]) for i, j in np.argwhere(wrong)}
    assert [m.count for m in data.telling.mistakes] == sorted(counts.values(), reverse=True)
    for mistaken in data.telling.mistakes:
        sure = [example.probability for example in mistaken.examples]
        assert sure == sorted(sure, reverse=True) and len(sure) == min(mistaken.count, OF_A_PAIR)
        assert all(
            (records.images[e.row].label, e.label, e.predicted, records.images[e.row].path)
            == (mistaken.label, mistaken.label, mistaken.predicted, e.path)
            for e in mistaken.examples
        )


def test_the_least_sure_predictions_are_those_whose_two_classes_are_closest() -> None:
    data = example(("cats", "dogs", "birds"), per_class=45).data()
    leads = [e.probability - e.second_probability for e in data.telling.unsure]
    assert len(leads) == UNSURE and leads == sorted(leads) and leads[0] >= 0
    assert all(e.second != e.predicted for e in data.telling.unsure)


def test_the_number_of_pictures_is_limited_whatever_the_study_holds() -> None:
    many = example([f"class {n}" for n in range(20)], per_class=60)
    shuffled = {f: np.random.default_rng(f).permutation(rows) for f, rows in many.probabilities.items()}
    data = many.data(probabilities=shuffled)
    assert sum(len(mistaken.examples) for mistaken in data.telling.mistakes) == PICTURES
    rows = rows_shown(data)
    assert len(rows) == len({*rows}) <= PICTURES + UNSURE + max(SHOWN)
    assert [suspect.row for suspect in shown(data.suspects)] == [*rows[: len(shown(data.suspects))]]


def test_suspects_are_images_of_folds_with_their_own_class_and_another_one() -> None:
    records = example()
    data = records.data()
    assert data.pooled is not None
    assert len(data.suspects) == data.pooled.images - data.pooled.confusion.trace()
    for suspect in data.suspects:
        image = records.images[suspect.row]
        assert (suspect.path, suspect.label) == (image.path, image.label) and not image.testing
        assert suspect.likely != suspect.label and suspect.probability > suspect.of_label
    accused = [suspect.accused for suspect in data.suspects]
    assert accused == sorted(accused, reverse=True)


def test_labels_are_judged_by_the_mean_of_the_good_trials_where_they_have_the_image() -> None:
    """Trial 5 is sure of a label that trial 7 doubts; trial 8 predicts the same as 7 but lacks folds."""
    records = example()
    doubted = records.data().suspects[0]
    fold = int(records.split.assignment[doubted.row])
    place = int(np.flatnonzero(np.flatnonzero(records.split.assignment == fold) == doubted.row)[0])
    sure = {f: rows.copy() for f, rows in records.probabilities.items()}
    sure[fold][place] = np.eye(2)[doubted.label]
    part = {f: rows for f, rows in records.probabilities.items() if f != fold}
    both = replace(records, others={5: sure, 7: records.probabilities, 8: part}).data().suspects
    assert {suspect.row for suspect in both} <= {suspect.row for suspect in records.data().suspects}
    found = {suspect.row: suspect for suspect in both}
    mean = (records.probabilities[fold][place] + sure[fold][place]) / 2
    if doubted.row in found:
        assert found[doubted.row].of_label == pytest.approx(mean[doubted.label])
    else:
        assert mean[doubted.label] >= 0.5


def test_networks_that_are_no_better_than_a_guess_suspect_nobody() -> None:
    records, random = example(), np.random.default_rng(5)
    guesses = {f: random.dirichlet([1, 1], len(rows)).astype(np.float32) for f, rows in records.probabilities.items()}
    data = records.data(others={2: guesses, 5: guesses}, probabilities=guesses)
    assert data.suspects == () and data.telling.mistakes


def test_without_predictions_there_is_nothing_to_show() -> None:
    data = example().data(probabilities={})
    assert (data.pooled, data.telling.mistakes, data.telling.unsure, data.suspects) == (None, (), (), ())
    assert rows_shown(data) == ()
