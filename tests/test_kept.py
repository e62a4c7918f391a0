"""Studies made by an earlier state of the code are reported and gone on with as that state did.

They are kept in `tests/kept/`, and `python -m tests.kept.make` makes them anew where a change is meant: of the tables,
of what is searched by default, of a number. Only the command and the files of a study are used here, so this holds
whatever is moved. Numbers that were trained may differ by 1e-4: another processor sums in another order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kept.rows import differences, rows_of
from tests.kept.studies import HERE, STUDIES, Kept, copied, go_on, search

each = pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)


@pytest.mark.first(3)
@each
def test_a_kept_study_is_reported_as_it_was(study: Kept, tmp_path: Path) -> None:
    copied(study, tmp_path)
    kept, current = _kept(study.report), json.loads(search("report", study.name, "--json", cwd=tmp_path))
    assert kept.pop("versions") and current.pop("versions")
    assert kept["best"] and kept["estimate"] and kept["references"]
    assert not differences(kept, current, tolerance=1e-6)


@pytest.mark.parametrize(
    "study",
    [pytest.param(study, marks=[pytest.mark.slow] if study.name != "auto" else []) for study in STUDIES],
    ids=lambda study: study.name,
)
def test_a_kept_study_is_gone_on_with_row_for_row(study: Kept, tmp_path: Path) -> None:
    folder = copied(study, tmp_path)
    before = rows_of(folder)
    go_on(study, tmp_path)
    kept, current = _kept(study.rows), rows_of(folder)
    assert not differences(kept, current)  # with numbers that were trained within 1e-4
    assert len(current["."]["fold_run"]) > len(before["."]["fold_run"])
    assert len(current["."]["choice"]) > len(before["."]["choice"])
    assert (folder / "models" / "choice.keras").is_file()


def test_what_is_kept_covers_what_it_is_there_for() -> None:
    """Every family, both engines, images for testing, outer folds, a trial that was left in its midst."""
    reports = {study.name: _kept(study.report) for study in STUDIES}
    summaries = [report["study"] for report in reports.values()]
    assert {summary["preset"] for summary in summaries} == {
        "question",
        "cnn",
        "frozen",
        "fine-tune",
        "auto",
        "net.py:build",
    }
    assert {summary["engine"] for summary in summaries} == {"optuna", "keras-tuner"}
    assert any(report["test"] for report in reports.values()) and any(report["nested"] for report in reports.values())
    assert {trial["params"].get("family") for trial in reports["auto"]["trials"]} >= {"frozen", "fine-tune", "cnn"}
    left = [trial for trial in reports["auto"]["trials"] if trial["state"] == "running"]
    assert len(left) == 1 and 0 < len(left[0]["fold_scores"]) < reports["auto"]["study"]["folds"]


def test_what_is_kept_tells_of_no_machine() -> None:
    kept = [path for path in HERE.rglob("*") if path.suffix in (".db", ".json", ".toml")]
    assert len(kept) >= 4 * len(STUDIES)
    for path in kept:
        content = path.read_bytes()
        assert not [place for place in (b"/home", b"/root", b"/tmp", b"/work", b"/Users") if place in content], path


def _kept(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
