"""Why trials did not learn, in every view."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from reports.as_json import as_json
from reports.html.study import render
from reports.terminal.study import show
from reports.wording import study as words
from search.diagnosis.evidence import BY_HEART
from search.diagnosis.rules import LABELS
from tests.studies import STUCK, Records, diagnosed, example, references, with_empty_curves

SENTENCE = (
    "Trial 0 is stuck at chance: initial weights too small: at the start 0.0001 of the signal is left after dense_4. "
    'Try: kernel_initializer="glorot_uniform", or fewer layers.'
)
HOSTILE = "<b>\x1b[31m\u202e"


def printed(records: Records) -> str:
    file = io.StringIO()
    show(records.data(), Console(file=file, width=120))
    return " ".join(file.getvalue().split())


def page(records: Records) -> str:
    return render(records.data()).replace("&#34;", '"')


def test_json_has_number_symptom_cause_and_evidence() -> None:
    assert as_json(example().data())["diagnoses"] == []
    data = as_json(diagnosed().data())["diagnoses"]
    assert [(d["number"], d["folds"], d["trained"]) for d in data] == [(0, 5, 5), (6, 1, 1)]
    assert {key: data[0][key] for key in ("symptom", "cause", "evidence", "change")} == {
        "symptom": STUCK.symptom,
        "cause": STUCK.cause,
        "evidence": list(STUCK.evidence),
        "change": STUCK.change,
    }


def test_why_trial_0_does_not_learn_is_a_sentence_on_the_page_and_in_the_terminal() -> None:
    assert words.diagnosis(example().data()) == ""
    assert words.diagnosis(diagnosed().data()) == SENTENCE
    assert SENTENCE in printed(diagnosed())
    assert SENTENCE in page(diagnosed())


def test_it_says_in_how_many_folds_and_is_silent_about_a_minority() -> None:
    assert "Trial 0 is stuck at chance, in 3 of its 5 folds: " in words.diagnosis(diagnosed((0, 2, 4)).data())
    assert words.diagnosis(diagnosed((1, 2)).data()) == ""


def test_the_most_frequent_diagnosis_counts() -> None:
    base = diagnosed()
    first = base.trials[0]
    other = replace(STUCK, cause="dead ReLU", evidence=("dead ReLU: 90% of the units",))
    folds = tuple(replace(f, diagnosis=other) if f.fold else f for f in first.folds)
    data = replace(base, trials=(replace(first, folds=folds), *base.trials[1:])).data()
    assert (data.diagnoses[0].cause, data.diagnoses[0].folds) == ("dead ReLU", 4)
    assert "in 4 of its 5 folds: dead ReLU: 90% of the units" in words.diagnosis(data)


def test_labels_are_not_in_doubt_if_a_plain_method_learns() -> None:
    """As stored by this release or an older one: only the report knows whether a reference is better."""
    base = diagnosed()
    for name in (LABELS, "labels do not follow from images"):
        by_heart = replace(STUCK, symptom=BY_HEART, cause=name, evidence=("a sign", f"{name}: shuffled"), change="")
        folds = tuple(replace(fold, diagnosis=by_heart) for fold in base.trials[0].folds)
        records = replace(base, trials=(replace(base.trials[0], folds=folds), *base.trials[1:]), references=())
        assert "holds for no other images: too few images for this network, or labels" in printed(records)
        learned = replace(records, references=references(linear_probe=0.88))
        assert "linear probe on a pre-trained network reaches 0.88 on the same folds" in printed(learned)
        assert "labels" not in words.diagnosis(learned.data())
        assert learned.data().diagnoses[0].evidence[0] == "a sign"


def test_collapsed_trials_are_one_group_of_unfinished_trials() -> None:
    causes = {c.cause: c.trials for c in diagnosed().data().causes}
    assert causes["stuck at chance: initial weights too small"] == (6,)
    assert "stuck at chance: initial weights too small" in printed(diagnosed())
    assert "stuck at chance: initial weights too small" in page(diagnosed())


def test_texts_of_an_untrusted_database_are_escaped() -> None:
    base = diagnosed()
    strange = replace(STUCK, symptom=HOSTILE, cause=HOSTILE, evidence=(HOSTILE,), change=HOSTILE)
    folds = tuple(replace(f, diagnosis=strange) for f in base.trials[0].folds)
    records = replace(base, trials=(replace(base.trials[0], folds=folds), *base.trials[1:]))
    assert "Trial 0 does not learn (<b>\\x1b[31m\\u202e): " in words.diagnosis(records.data())
    assert "\x1b" not in printed(records) + page(records)
    assert "learn (<b>" not in page(records)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "log_loss"])
def test_every_view_shows_a_fold_without_an_epoch(metric: str) -> None:
    base = with_empty_curves()
    records = replace(base, study=replace(base.study, metric=metric))
    data = json.loads(json.dumps(as_json(records.data()), allow_nan=False))
    assert data["trials"][0]["epochs"][0] == data["trials"][0]["best_epochs"][0] == 0
    assert printed(records)
    assert 'class="curves"' in page(records)


def test_a_best_trial_without_any_epoch_is_drawn_without_curves() -> None:
    base = with_empty_curves()
    only = replace(base, trials=base.trials[1:2], probabilities={})
    assert printed(only)
    assert 'class="curves"' not in page(only)
