"""The report as files."""

from __future__ import annotations

from pathlib import Path

from reports import markdown
from reports.html import study as html
from search.results.pictures import Pictures
from search.results.summary import StudySummary


def write(data: StudySummary, path: Path, pictures: Pictures, watched: str = "") -> None:
    """Write the report to `path`, atomically: as Markdown where its name ends in .md, else as one HTML page.

    `watched`: see `html.render`. Raises OSError.
    """
    if path.suffix.lower() == ".md":
        markdown.write(data, path)
    else:
        html.write(data, path, pictures, watched)


def write_both(data: StudySummary, page: Path, pictures: Pictures, watched: str = "") -> None:
    """Write the HTML page to `page`, and the same as Markdown beside it. Raises OSError."""
    write(data, page, pictures, watched)
    write(data, page.with_suffix(".md"), pictures)
