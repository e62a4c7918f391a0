"""The chosen model of a study: what is said where there is none, where it is old, and while a search runs."""

from __future__ import annotations

import json
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest

from search.export.model import has_model, model_file, stale
from search.manifest import ABOUT
from search.session.prepare import prepare
from search.study.database import create
from search.study.folder import StudyFolder
from search.study.lease import leased
from storage import ChoiceRecord, FoldRecord, RunRecord, Store, TrialRecord, TrialState
from storage.records import Origin
from tests.search.shapes import FOLDER, refusal, settings

MADE = "2026-01-01T00:00:00+00:00"
STUDY = StudyFolder(Path(FOLDER))


@pytest.fixture
def complete(place: Path) -> Path:
    """A study with one complete trial, and no model."""
    (place / FOLDER / "study.toml").write_text("images = '../shapes'\npreset = 'cnn'\nseed = 3\n")
    prepared = prepare(settings(), place / FOLDER)
    with create(StudyFolder(place / FOLDER), prepared) as store:
        run = store.start_run(RunRecord("", "search run", {}, "here", 1))
        store.add_trial(TrialRecord(0, prepared.space.defaults(), Origin.BASELINE), run=run, seconds=1)
        assignment = store.split().assignment
        for fold in range(prepared.folds):
            shares = np.full((int((assignment == fold).sum()), 2), 0.5, np.float32)
            close = (TrialState.COMPLETE, None, None) if fold == prepared.folds - 1 else None
            record = FoldRecord(
                trial=0,
                repeat=0,
                fold=fold,
                seed=1,
                scores={"balanced_accuracy": 0.5, "accuracy": 0.5, "auroc": 0.5, "log_loss": 0.7},
                epochs=1,
                best_epoch=1,
                curve={},
                probabilities=shares,
                parameters=9,
                seconds=1.0,
            )
            store.add_fold(record, run=run, seconds=1, close=close)
    return place


def model(path: Path, **about: object) -> Path:
    """A file that says of itself what a model of `search export` says."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(ABOUT, json.dumps({"classes": ["left", "top"], "image_shape": [8, 8, 1], **about}))
    return path


def chosen(place: Path) -> str:
    """Store a choice, made at MADE; returns the fingerprint of the study's images."""
    with Store.open(place / FOLDER / "study.db") as store:
        run = store.start_run(RunRecord("", "search run", {}, "here", 1))
        store.add_choice(ChoiceRecord(MADE, 0, ((0, 1.0),), (0,), store.fold_runs(), 1.0, None), run=run, seconds=1)
        return store.study().fingerprint


def test_without_a_model_its_making_is_proposed_and_not_while_the_search_runs(complete: Path) -> None:
    assert complete == Path.cwd()
    assert refusal(lambda: model_file(Path(FOLDER))).endswith(
        "study has no model yet; `search export study --to FILE.keras` makes one of what is stored"
    )
    assert not has_model(STUDY)
    with leased(STUDY.lock):
        for call in (lambda: model_file(Path(FOLDER)), lambda: has_model(STUDY)):
            message = refusal(call)
            assert "is being searched by process " in message and "which makes one at its end; wait for it" in message
            assert message.endswith("or stop it with Ctrl-C, then: search export study --to FILE.keras")


def test_without_a_complete_trial_the_search_goes_on_or_is_waited_for(place: Path, begun: Store) -> None:
    begun.close()
    (place / FOLDER / "study.toml").write_text("images = '../shapes'\n")
    assert refusal(lambda: model_file(Path(FOLDER))).endswith("go on with: search resume study")
    with leased(STUDY.lock):
        for call in (lambda: model_file(Path(FOLDER)), lambda: has_model(STUDY)):
            message = refusal(call)
            assert "no trial is complete yet; the study is being searched by process " in message
            assert message.endswith(": wait for it") and "search resume" not in message


def test_a_study_that_has_not_begun_is_started(place: Path) -> None:
    (place / "-my study").mkdir()
    (place / "-my study" / "study.toml").touch()
    message = refusal(lambda: model_file(Path("-my study")))
    assert message == "-my study has not begun, so there is no model; `search run './-my study'` starts it"


def test_a_model_that_is_older_than_the_results_is_made_anew(complete: Path) -> None:
    model(complete / FOLDER / "models" / "choice.keras", packaging=99)
    assert stale(Path(FOLDER)) == (
        "study: more has been searched since its model was made; `search export study --to FILE.keras` makes it anew"
    )
    with leased(STUDY.lock):
        assert stale(Path(FOLDER)) == (
            "study: its search is running; this model is of an earlier session, and the next is made at the end"
        )
    chosen(complete)
    assert stale(Path(FOLDER)) is None


def test_a_file_of_an_earlier_release_is_made_anew_from_its_study_where_that_is_found(complete: Path) -> None:
    fingerprint = chosen(complete)
    old = model(Path("old models") / "old.keras", fingerprint=fingerprint, made=MADE, study="shapes")
    message = stale(old)
    assert message is not None and "`search export study --to 'old models/old.keras'` makes it anew" in message
    inside = model(STUDY.model)
    message = stale(inside)
    assert message is not None and f"`search export study --to {STUDY.model}` makes it anew" in message


@pytest.mark.parametrize("about", [{"made": "2025-12-31T00:00:00+00:00"}, {"fingerprint": "0"}, {}])
def test_a_file_whose_study_is_not_found_is_made_anew_in_its_folder(complete: Path, about: dict[str, str]) -> None:
    """Another study of the same pictures would write another model."""
    fingerprint = chosen(complete)
    old = model(Path("old.keras"), **({"fingerprint": fingerprint, "made": MADE, "study": "shapes"} | about))
    if not about:
        (complete / FOLDER).rename(complete.parent / f"{complete.name}-moved")
    message = stale(old)
    assert message is not None
    command = message.rpartition("in the folder of its study of the pictures 'shapes', `")[2].partition("`")[0]
    assert shlex.split(command) == ["search", "export", "--to", str(complete / "old.keras")]
