"""The labels in doubt as a table."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from reports.labels_csv import COLUMNS, as_csv, harmless, write
from tests.studies import example


def test_it_has_a_line_for_each_label_in_doubt_in_their_order(tmp_path: Path) -> None:
    data = example().data()
    write(data, tmp_path / "labels.csv")
    rows = [*csv.DictReader(io.StringIO((tmp_path / "labels.csv").read_text(encoding="utf-8")))]
    assert rows and [row["path"] for row in rows] == [suspect.path for suspect in data.suspects]
    assert tuple(rows[0]) == COLUMNS
    for place, (row, suspect) in enumerate(zip(rows, data.suspects, strict=True), start=1):
        assert row["rank"] == str(place)
        assert (row["label"], row["likely"]) == (
            data.study.classes[suspect.label],
            data.study.classes[suspect.likely],
        )
        assert float(row["probability"]) == pytest.approx(suspect.probability, abs=1e-4)
        assert row["looks_wrong"] == ("yes" if suspect.accused else "no")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "\x1b[31m"])
def test_no_cell_is_taken_for_a_formula_or_moves_a_cursor(start: str) -> None:
    evil = f"{start}cmd|' /C calc'!A0"
    records = example((evil, "plain, with a comma"))
    images = tuple(replace(image, path=f'{evil}/{image.row}"\n.png') for image in records.images)
    data = replace(records, images=images).data()
    text = as_csv(data)
    rows = [*csv.reader(io.StringIO(text, newline=""))]
    assert len(rows) == len(text.splitlines()) == len(data.suspects) + 1
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert not {*text} & {"\t", "\r", "\x1b"}
    for row in rows[1:]:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
        assert "cmd|' /C calc'!A0" in row[1] and "plain, with a comma" in {row[2], row[3]}


def test_other_cells_stay_as_they_are() -> None:
    for cell in ("a=b", "training/cats/1.png", "", "'quoted", "5"):
        assert harmless(cell) == cell


def test_without_a_label_in_doubt_there_is_only_the_head() -> None:
    assert as_csv(example().data(probabilities={})) == ",".join(COLUMNS) + "\n"
