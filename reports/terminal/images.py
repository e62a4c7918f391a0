"""What was found in a folder of images, in lines for a terminal."""

from __future__ import annotations

from reports.wording import values
from reports.wording.images import TITLES, likeness_words
from search.data.findings import Findings, Kind
from search.data.images import ImageSet
from search.data.layout import Note
from search.study.prepared import Prepared
from search.text import printable

SHOWN_PER_KIND = 20  # notes of one kind that are named one by one

MOST_LINES = 10  # of one kind in the terminal


def images_in_words(images: ImageSet) -> list[str]:
    """Lines: how many of what, then each note by name, those that left something out first."""
    height, width, channels = images.pixels.shape[1:]
    colour = "grey" if channels == 1 else "colour"
    apart = int(images.testing.sum())
    searched = f"{len(images.labels) - apart} in {len(images.classes)} classes"
    kept_apart = f" (+ {apart} for testing)" if apart else ""
    lines = [f"images: {searched}{kept_apart}, read as {width} x {height} {colour}"]
    for label, name in enumerate(images.classes):
        of_class = images.labels == label
        training, testing = int((of_class & ~images.testing).sum()), int((of_class & images.testing).sum())
        lines.append(f"  {printable(name)}: {training}" + (f" (+ {testing} for testing)" if testing else ""))
    lines += _notes(images)
    return lines


def _notes(images: ImageSet) -> list[str]:
    """What was left out by name; what was only converted or looks odd by kind, with a few names."""
    if not images.notes:
        return []
    left_out = sum(note.left_out for note in images.notes)
    lines = [f"notes: {len(images.notes)}, of which {left_out} on files left out"]
    kinds: dict[tuple[bool, str], list[Note]] = {}
    for note in sorted(images.notes, key=lambda n: (not n.left_out, n.kind, n.path)):
        kinds.setdefault((note.left_out, note.kind), []).append(note)
    for (_, kind), notes in kinds.items():
        alike = len({note.message for note in notes}) == 1 and len(notes) > 2
        shown = notes[: 2 if alike else SHOWN_PER_KIND]
        lines += [f"  {kind}: {printable(note.path)}: {printable(note.message)}" for note in shown]
        if len(notes) > len(shown):
            lines.append(f"  {kind}: … and {len(notes) - len(shown)} more{' like these' if alike else ''}")
    return lines


def prepared_in_words(prepared: Prepared) -> list[str]:
    """What was read and decided, in lines; each thing left out by name."""
    return [*images_in_words(prepared.images), *prepared.remarks]


def in_lines(found: Findings) -> list[str]:
    """What else there is to say below the images themselves."""
    lines = [f"folds: {found.folds}" if found.folds else "folds: none; these images cannot be searched yet"]
    lines += found.sentences or ["no copies, no contradictions: nothing stands in the way"]
    for kind in Kind:
        pairs = found.of(kind)
        if pairs:
            lines.append(f"{TITLES[kind].lower()}: {len(pairs)}")
        lines += [
            f"  {values.visible(p.first.path)}  =  {values.visible(p.second.path)}  ({likeness_words(p)})"
            for p in pairs[:MOST_LINES]
        ]
        if len(pairs) > MOST_LINES:
            lines.append(f"  … and {len(pairs) - MOST_LINES} more on the page")
    return lines
