"""What was found in a folder of images, as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reports.html.page import asset, environment, policy
from reports.html.thumbnails import breakable, data_uri
from reports.wording import values
from reports.wording.images import ABOUT, TITLES, headline, likeness_words
from search.data.findings import DuplicateKind, Findings, PairView, Remark
from search.files import write_atomically

MAX_PAIRS = 200  # shown on the page, of each kind


def write(findings: Findings, path: Path) -> None:
    """Render the page and write it to `path`, atomically."""
    write_atomically(path, render(findings))


def render(findings: Findings) -> str:
    """The whole page."""
    sections = [_section(kind, findings.of(kind)) for kind in DuplicateKind if findings.of(kind)]
    page: str = (
        environment()
        .get_template("check.html.j2")
        .render(
            findings=findings,
            values=values,
            policy=policy([]),
            style=Markup(asset("report.css") + asset("check.css")),  # noqa: S704 - our own files
            sections=sections,
            breakable=breakable,
            kinds=_by_kind(findings.remarks),
            most=max((row.searched + row.testing for row in findings.classes), default=1),
            headline=headline(findings),
        )
    )
    return page


@dataclass(frozen=True)
class _Section:
    id: str
    title: str
    about: str
    count: int
    pairs: list[dict[str, Any]]
    hidden: int


def _section(kind: DuplicateKind, pairs: Sequence[PairView]) -> _Section:
    shown = [
        {"pair": pair, "images": [(i, data_uri(i.pixels)) for i in (pair.first, pair.second)]}
        for pair in pairs[:MAX_PAIRS]
    ]
    for entry, pair in zip(shown, pairs, strict=False):
        entry["likeness"] = likeness_words(pair)
    return _Section(str(kind), TITLES[kind], ABOUT[kind], len(pairs), shown, max(len(pairs) - MAX_PAIRS, 0))


def _by_kind(remarks: Sequence[Remark]) -> dict[tuple[bool, str], list[Remark]]:
    """Remarks by (left out, kind). Copies are missing, as they are shown as pairs."""
    by_kind: dict[tuple[bool, str], list[Remark]] = {}
    for remark in remarks:
        if remark.kind != "copy":
            by_kind.setdefault((remark.left_out, remark.kind), []).append(remark)
    return by_kind
