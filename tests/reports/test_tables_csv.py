"""All trials and fold runs as two tables."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.as_json import as_json
from reports.tables_csv import FOLDS, OF_FOLDS, OF_TRIALS, TRIALS, folds_csv, trials_csv, write
from search.stats.metrics import METRICS
from tests.studies import diagnosed, example, with_choice, with_empty_curves


def rows(text: str) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(text, newline=""))]


def number(cell: str) -> float | None:
    return float(cell) if cell else None


def test_the_numbers_of_the_trials_are_those_of_the_json_report() -> None:
    data = example().data()
    told: dict[str, Any] = json.loads(json.dumps(as_json(data)))
    lines = rows(trials_csv(data))
    assert len(lines) == len(told["trials"]) == 12
    for line, trial in zip(lines, told["trials"], strict=True):
        assert (int(line["trial"]), line["state"]) == (trial["number"], trial["state"])
        for name in ("rank", "score", "spread", "parameters", "seconds", "latency"):
            assert number(line[name]) == trial.get(name), name
        assert int(line["folds"]) == len(trial["fold_scores"])
        assert (line["origin"], line["cause"]) == (trial["origin"], trial["cause"] or "")
        params = {name: line[f"params_{name}"] for name in trial["params"]}
        assert params == {name: str(value) for name, value in trial["params"].items()}
        inactive = [name for name in line if name.startswith("params_") and name[7:] not in trial["params"]]
        assert all(line[name] == "" for name in inactive)


def test_every_fold_run_has_a_line_with_all_metrics() -> None:
    data = diagnosed((0, 2)).data()
    lines, folds = rows(folds_csv(data)), [fold for trial in data.trials for fold in trial.folds]
    assert tuple(lines[0]) == (*OF_FOLDS, *METRICS)
    assert len(lines) == len(folds) > 40
    for line, fold in zip(lines, folds, strict=True):
        assert [int(line[name]) for name in ("trial", "repeat", "fold", "seed", "epochs", "best_epoch")] == [
            fold.trial,
            fold.repeat,
            fold.fold,
            fold.seed,
            fold.epochs,
            fold.best_epoch,
        ]
        assert line["symptom"] == (fold.diagnosis.symptom if fold.diagnosis else "")
    json_scores = {t["number"]: t["fold_scores"] for t in as_json(data)["trials"]}
    for trial in data.trials:
        of_trial = [number(line[data.metric]) for line in lines if int(line["trial"]) == trial.number]
        assert of_trial == json_scores[trial.number]


def test_the_shares_of_the_saved_model_are_told() -> None:
    weights = {row["trial"]: row["weight"] for row in rows(trials_csv(with_choice().data())) if row["weight"]}
    assert weights == {"7": "1.0"}


def test_what_is_no_number_is_an_empty_cell() -> None:
    data = with_empty_curves().data()
    lines = [line for text in (trials_csv(data), folds_csv(data)) for line in text.splitlines()]
    cells = {cell for line in lines for cell in line.split(",")}
    assert not cells & {"nan", "inf", "-inf", "None"} and "" in cells


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "\x1b[31m"])
def test_no_cell_is_taken_for_a_formula_or_moves_a_cursor(start: str) -> None:
    evil, records = f"{start}cmd|' /C calc'!A0", example()
    trials = tuple(
        replace(trial, params={**trial.params, evil: evil}, cause=evil, detail=f"{evil}\n{evil}")
        for trial in records.trials
    )
    text = trials_csv(records.data(trials=trials))
    table = [*csv.reader(io.StringIO(text, newline=""))]
    assert len(table) == len(text.splitlines()) == len(trials) + 1
    assert {len(row) for row in table} == {len(table[0])}
    assert not {*text} & {"\t", "\r", "\x1b"}
    assert not [cell for row in table for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_the_files_lie_where_they_were_asked_for(tmp_path: Path) -> None:
    data = example().data()
    assert write(data, tmp_path) == (tmp_path / TRIALS, tmp_path / FOLDS)
    assert (tmp_path / TRIALS).read_text(encoding="utf-8") == trials_csv(data)
    assert tuple(rows(trials_csv(data))[0])[: len(OF_TRIALS)] == OF_TRIALS
