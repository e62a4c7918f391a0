"""The report as files."""

from __future__ import annotations

from pathlib import Path

from reports import markdown
from reports.html import study as html
from search.files import sweep_partial
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
    """Write the HTML page to `page`, and the same as Markdown beside it. Raises OSError.

    What processes that were killed left of them half written is removed: a study that is done begins no session.
    """
    for path in (page, page.with_suffix(".md")):
        write(data, path, pictures, watched)
        sweep_partial(path)
