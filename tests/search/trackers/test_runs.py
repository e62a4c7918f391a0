"""From a study to the runs of a tracker, and what is written of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from reports.as_json import as_json
from search.study.folder import StudyFolder
from search.trackers.base import TrackedRun, plain_name, write_new
from search.trackers.runs import STUDY, runs_of, study_id
from storage.records import TrialState
from tests.search.trackers.places import a_place
from tests.studies import example, judged, references, with_choice


@dataclass
class Notebook:
    """A tracker that keeps its runs in memory, and may die before the n-th."""

    runs: dict[str, TrackedRun] = field(default_factory=dict)
    dies_at: int = -1
    wrote: list[str] = field(default_factory=list)
    where: str = "here"

    def written(self) -> Mapping[str, str]:
        return {name: run.digest for name, run in self.runs.items()}

    def write(self, run: TrackedRun) -> None:
        if len(self.wrote) == self.dies_at:
            raise ConnectionError("the server is gone")
        self.wrote.append(run.name)
        self.runs[run.name] = run


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return a_place(tmp_path)


def test_every_closed_trial_is_a_run_with_the_numbers_of_the_json_report(folder: StudyFolder) -> None:
    data = example().data()
    told: dict[str, Any] = json.loads(json.dumps(as_json(data)))
    runs = {run.name: run for run in runs_of(data, folder)}
    closed = [trial for trial in told["trials"] if trial["state"] != "running"]
    assert {*runs} == {f"trial-{trial['number']:04d}" for trial in closed} | {STUDY}
    for trial in closed:
        run = runs[f"trial-{trial['number']:04d}"]
        assert dict(run.params) == trial["params"]
        assert run.facts["state"] == trial["state"] and run.facts.get("cause") == trial["cause"]
        for name, number in (("balanced_accuracy", trial["score"]), ("spread", trial["spread"])):
            assert run.numbers.get(name) == number
        of_folds = run.curves.get("fold_balanced_accuracy", {})
        known = {n: score for n, score in enumerate(trial["fold_scores"], start=1) if score is not None}
        assert dict(of_folds) == known
        longest = max((len(c) for name, c in run.curves.items() if name.startswith("fold-")), default=0)
        assert longest == max(trial["epochs"], default=0)


def test_the_study_is_a_run_with_the_estimate_the_references_and_its_files(folder: StudyFolder) -> None:
    data = replace(judged(), references=example().data(references=references(linear_probe=0.84)).references)
    told = as_json(data)
    run = runs_of(data, folder)[-1]
    assert run.name == STUDY
    assert run.numbers["best_balanced_accuracy"] == told["best"]["score"]
    assert (run.numbers["estimate"], run.numbers["estimate_low"]) == (
        told["estimate"]["value"],
        told["estimate"]["low"],
    )
    assert run.numbers["reference_linear_probe"] == pytest.approx(0.84)
    assert run.numbers["trials_complete"] == told["counts"]["complete"]
    assert [path.name for path in run.files] == ["report.md", "report.html", "choice.keras", "choice.md"]


def test_a_study_that_is_searched_has_its_trials_there_and_not_yet_itself(folder: StudyFolder) -> None:
    data = example().data(searching=True)
    names = [run.name for run in runs_of(data, folder)]
    assert names and STUDY not in names
    assert f"trial-{next(t.number for t in data.trials if t.state == TrialState.RUNNING):04d}" not in names


def test_what_lies_behind_a_link_is_not_copied(folder: StudyFolder, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("private")
    folder.report.with_suffix(".md").unlink()
    folder.report.with_suffix(".md").symlink_to(tmp_path / "secret.md")
    for path in (*folder.models.iterdir(),):
        path.unlink()
    folder.models.rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "choice.md").write_text("private")
    folder.models.symlink_to(tmp_path / "elsewhere")
    assert [path.name for path in runs_of(example().data(), folder)[-1].files] == ["report.html"]


def test_what_is_there_is_not_written_twice_and_what_changed_is_written_anew(folder: StudyFolder) -> None:
    records, notebook = with_choice(), Notebook()
    runs = runs_of(records.data(), folder)
    assert write_new(notebook, runs) == len(runs) == len(notebook.wrote)
    assert write_new(notebook, runs_of(records.data(), folder)) == 0
    went_on = tuple(replace(t, detail="went on") if t.number == 3 else t for t in records.trials)
    assert write_new(notebook, runs_of(records.data(trials=went_on), folder)) == 1
    assert notebook.wrote[-1] == "trial-0003" and notebook.runs["trial-0003"].facts["detail"] == "went on"
    folder.report.with_suffix(".md").write_text("# Another report\n")
    assert write_new(notebook, runs_of(records.data(trials=went_on), folder)) == 1
    assert notebook.wrote[-1] == STUDY


@pytest.mark.parametrize("dies_at", range(0, 12, 3))
def test_a_tracker_that_failed_in_the_midst_gets_the_rest_next_time(folder: StudyFolder, dies_at: int) -> None:
    runs, notebook = runs_of(example().data(), folder), Notebook(dies_at=dies_at)
    with pytest.raises(ConnectionError):
        write_new(notebook, runs)
    notebook.dies_at = -1
    assert write_new(notebook, runs) == len(runs) - dies_at
    assert notebook.wrote == [run.name for run in runs]


def test_studies_of_one_name_are_told_apart() -> None:
    study = example().study
    others = [replace(study, seed=8), replace(study, created="2025-03-02T20:00:00Z"), replace(study, fingerprint="0")]
    assert len({study_id(each) for each in (study, *others)}) == 4
    assert study_id(study) == study_id(replace(study, notes=("a note",)))


def test_names_hold_nothing_that_a_tracker_refuses() -> None:
    assert plain_name("fold-1/val_loss") == "fold-1/val_loss"
    assert plain_name("größe [px]\n=cmd") == "gr__e _px___cmd"
