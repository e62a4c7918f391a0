"""The report as files."""

from __future__ import annotations

from pathlib import Path

from reports import markdown
from reports.html import study as html
from search.results.importance import Figures, figures
from search.results.pictures import Pictures
from search.results.summary import StudySummary


def write(
    data: StudySummary, path: Path, pictures: Pictures, watched: str = "", weights: Figures | None = None
) -> None:
    """Write the report to `path`, atomically: as Markdown where its name ends in .md, else as one HTML page.

    `watched`, `weights`: see `html.render`. Raises OSError.
    """
    if path.suffix.lower() == ".md":
        markdown.write(data, path, weights)
    else:
        html.write(data, path, pictures, watched, weights)


def write_both(data: StudySummary, page: Path, pictures: Pictures, watched: str = "") -> None:
    """Write the HTML page to `page`, and the same as Markdown beside it. Raises OSError."""
    weights = figures(data)
    write(data, page, pictures, watched, weights)
    write(data, page.with_suffix(".md"), pictures, weights=weights)
