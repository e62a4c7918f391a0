"""What a look at the images found: lines, plain data, and one page that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from reports import words
from reports.html import asset, environment, policy, put
from search.findings import Findings, Kind, PairShown, Remark

MOST_PAIRS = 200  # of one kind on the page
MOST_LINES = 10  # of one kind in the terminal
_SIDE = 120  # of a thumbnail, in pixels, at most

TITLES = {
    Kind.CONTRADICTION: "One picture in two classes",
    Kind.LEAK: "In training and in testing",
    Kind.COPY: "Copies within a class",
    Kind.MIRRORED: "Mirror images in two classes",
}
ABOUT = {
    Kind.CONTRADICTION: "Both labels cannot be right, and no model can learn both. Keep the right one.",
    Kind.LEAK: "A model that was trained on a picture knows it when it is tested. The one in training is in no fold.",
    Kind.COPY: "They stay in one fold, so that no model is judged by a picture that it was trained on.",
    Kind.MIRRORED: "Turned left to right, which training does unless told not to, they are the same picture. "
    "Where left and right make the class, search with --no-flip.",
}


def in_lines(found: Findings) -> list[str]:
    """What else there is to say below the images themselves."""
    lines = [f"folds: {found.folds}" if found.folds else "folds: none; these images cannot be searched yet"]
    lines += found.sentences or ["no copies, no contradictions: nothing stands in the way"]
    for kind in Kind:
        pairs = found.of(kind)
        if pairs:
            lines.append(f"{TITLES[kind].lower()}: {len(pairs)}")
        lines += [
            f"  {words.visible(p.first.path)}  =  {words.visible(p.second.path)}  ({_likeness(p)})"
            for p in pairs[:MOST_LINES]
        ]
        if len(pairs) > MOST_LINES:
            lines.append(f"  … and {len(pairs) - MOST_LINES} more on the page")
    return lines


def as_plain(found: Findings) -> dict[str, Any]:
    """For --json."""
    height, width, channels = found.shape
    return {
        "name": found.name,
        "images": found.images,
        "testing": found.testing,
        "read_as": {"height": height, "width": width, "channels": channels},
        "folds": found.folds,
        "problem": found.problem,
        "findings": list(found.sentences),
        "classes": [
            {
                "name": row.name,
                "searched": row.searched,
                "independent": row.independent,
                "testing": row.testing,
                "median_size": list(row.size),
                "smallest": list(row.smallest),
                "largest": list(row.largest),
                "grey": row.grey,
            }
            for row in found.classes
        ],
        "pairs": [
            {
                "kind": str(pair.kind),
                "paths": [pair.first.path, pair.second.path],
                "classes": [pair.first.class_name, pair.second.class_name],
                "testing": [pair.first.testing, pair.second.testing],
                "exact": pair.exact,
                "mirrored": pair.mirrored,
                "likeness": pair.likeness,
            }
            for pair in found.pairs
        ],
        "notes": [
            {"path": note.path, "kind": note.kind, "message": note.message, "left_out": note.left_out}
            for note in found.remarks
        ],
    }


def write(found: Findings, path: Path) -> None:
    """Render the page and put it at `path` in one step."""
    put(render(found), path)


def render(found: Findings) -> str:
    """The whole page."""
    sections = [_section(kind, found.of(kind)) for kind in Kind if found.of(kind)]
    page: str = (
        environment()
        .get_template("check.html.j2")
        .render(
            found=found,
            words=words,
            policy=policy([]),
            style=Markup(asset("report.css") + asset("check.css")),  # noqa: S704 - our own files
            sections=sections,
            breakable=breakable,
            kinds=_by_kind(found.remarks),
            most=max((row.searched + row.testing for row in found.classes), default=1),
            headline=headline(found),
        )
    )
    return page


def headline(found: Findings) -> str:
    """The answer in a sentence."""
    if found.problem:
        return f"These images cannot be searched yet. {words.visible(found.problem)}"
    grave = sum(len(found.of(kind)) for kind in (Kind.CONTRADICTION, Kind.LEAK))
    left_out = sum(remark.left_out for remark in found.remarks)
    said = [f"Ready for a search with {found.folds} folds"]
    if grave:
        said.append(f"look at {words.count(grave, 'pair')} of pictures first")
    if left_out:
        said.append(f"{words.count(left_out, 'file')} left out")
    return "; ".join(said) + "."


@dataclass(frozen=True)
class _Section:
    id: str
    title: str
    about: str
    count: int
    pairs: list[dict[str, Any]]
    hidden: int


def _section(kind: Kind, pairs: Sequence[PairShown]) -> _Section:
    shown = [
        {"pair": pair, "images": [(i, _data(i.pixels)) for i in (pair.first, pair.second)]}
        for pair in pairs[:MOST_PAIRS]
    ]
    for entry, pair in zip(shown, pairs, strict=False):
        entry["likeness"] = _likeness(pair)
    return _Section(str(kind), TITLES[kind], ABOUT[kind], len(pairs), shown, max(len(pairs) - MOST_PAIRS, 0))


def breakable(text: str) -> Markup:
    """A path that may go on in the next line after its parts rather than anywhere."""
    escaped = str(escape(words.shortened(text, 90)))
    return Markup(escaped.replace("/", "/<wbr>").replace("_", "_<wbr>"))  # noqa: S704 - escaped above


def _likeness(pair: PairShown) -> str:
    if pair.exact:
        return "the same pixels"
    return ("mirrored, " if pair.mirrored else "") + f"{100 * pair.likeness:.1f} % alike"


def _by_kind(remarks: Sequence[Remark]) -> dict[tuple[bool, str], list[Remark]]:
    """Those that left something out first; without copies, which are shown as pairs."""
    found: dict[tuple[bool, str], list[Remark]] = {}
    for remark in remarks:
        if remark.kind != "copy":
            found.setdefault((remark.left_out, remark.kind), []).append(remark)
    return found


def _data(pixels: NDArray[np.uint8]) -> str:
    """A data URI of a small picture: small ones exactly, others as JPEG."""
    from PIL import Image

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((_SIDE, _SIDE))
    kind = "PNG" if max(image.size) <= 64 else "JPEG"
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 82} if kind == "JPEG" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
