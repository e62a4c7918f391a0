"""The labels in doubt as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from reports.wording.values import visible
from search.files import write_atomically
from search.results.summary import StudySummary

COLUMNS = ("rank", "path", "label", "likely", "probability", "probability_of_label", "looks_wrong", "rarity")
_FORMULA = re.compile(r"(^|[;,\t])(?=[=+\-@])")  # also behind what some spreadsheets take for the end of a cell


def as_csv(data: StudySummary) -> str:
    """One line for each label in doubt, the most suspect first, under COLUMNS."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    classes = data.study.classes
    for rank, suspect in enumerate(data.suspects, start=1):
        names = (suspect.path, classes[suspect.label], classes[suspect.likely])
        shares = (f"{suspect.probability:.4f}", f"{suspect.of_label:.4f}")
        writer.writerow(
            [rank, *map(harmless, names), *shares, "yes" if suspect.accused else "no", f"{suspect.rarity:.2g}"]
        )
    return text.getvalue()


def write(data: StudySummary, path: Path) -> None:
    """Write the table to `path`, atomically, as UTF-8. Raises OSError."""
    write_atomically(path, as_csv(data))


def harmless(cell: str) -> str:
    """One line, and no formula for a spreadsheet: with ' before what begins like one (OWASP, CSV injection)."""
    return _FORMULA.sub(r"\1'", visible(cell))
