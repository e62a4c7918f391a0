"""What was found in a folder of images, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from reports.wording import values
from reports.wording.images import TITLES, likeness_words, question
from search.data.findings import DuplicateKind, Findings, Remark
from search.text import printable

SHOWN_PER_KIND = 20  # notes of one kind that say different things
_NAMED = 2  # files of notes that say the same
_READING = ("layout", "class name")  # kinds of notes on how the folder is read
MAX_LINES = 10  # pairs of one kind


def images_in_words(findings: Findings) -> list[str]:
    """First of all whether another folder is meant; the counts by class, the notes on files."""
    height, width, channels = findings.shape
    colour = "grey" if channels == 1 else "colour"
    searched = f"{findings.images - findings.testing} in {len(findings.classes)} classes"
    kept_apart = f" (+ {findings.testing} for testing)" if findings.testing else ""
    lines = [question(findings)] if findings.doubt else []
    lines.append(f"images: {searched}{kept_apart}, read as {width} x {height} {colour}")
    for row in findings.classes:
        testing = f" (+ {row.testing} for testing)" if row.testing else ""
        lines.append(f"  {printable(row.name)}: {row.training}{testing}")
    lines += _notes(findings.remarks)
    return lines


def _notes(remarks: Sequence[Remark]) -> list[str]:
    """The notes by kind: alike ones in one line with the names of the first files, the first of the others."""
    if not remarks:
        return []
    left_out = sum(note.left_out for note in remarks)
    lines = [f"notes: {len(remarks):,}" + (f"; {values.count(left_out, 'file')} left out" if left_out else "")]
    kinds: dict[tuple[bool, str], list[Remark]] = {}
    # How the folder is read comes first: where that is wrong, nothing else matters.
    for note in sorted(remarks, key=lambda note: note.kind not in _READING):
        kinds.setdefault((note.left_out, note.kind), []).append(note)
    for (_, kind), notes in kinds.items():
        alike: dict[str, list[Remark]] = {}
        for note in notes:
            alike.setdefault(note.message, []).append(note)
        groups = list(alike.values())
        lines += [f"  {kind}: {_of(group)}" for group in groups[:SHOWN_PER_KIND]]
        if more := sum(map(len, groups[SHOWN_PER_KIND:])):
            lines.append(f"  {kind}: … and {more} more")
    return lines


def _of(alike: Sequence[Remark]) -> str:
    """'a.png: Damaged: left out.', or '12, such as a.png and b.png: Has transparency: blended on white.'"""
    names, message = [printable(note.path) for note in alike[:_NAMED]], printable(alike[0].message)
    if len(alike) > _NAMED:
        return f"{len(alike):,}, such as {' and '.join(names)}: {message}"
    return f"{' and '.join(names)}: {message}"


def in_lines(findings: Findings) -> list[str]:
    """The lines below the counts: folds, findings, pairs of copies."""
    lines = [f"folds: {findings.folds}" if findings.folds else "folds: none; these images cannot be searched yet"]
    lines += findings.sentences
    if not any(findings.of(kind) for kind in DuplicateKind):
        lines.append("no copies and no contradictions were found")
    for kind in DuplicateKind:
        pairs = findings.of(kind)
        if pairs:
            lines.append(f"{TITLES[kind].lower()}: {len(pairs)}")
        lines += [
            f"  {values.visible(p.first.path)}  =  {values.visible(p.second.path)}  ({likeness_words(p)})"
            for p in pairs[:MAX_LINES]
        ]
        if len(pairs) > MAX_LINES:
            lines.append(f"  … and {len(pairs) - MAX_LINES} more on the page")
    return lines
