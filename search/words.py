"""What was found in the image folder, in words for a terminal."""

from __future__ import annotations

from collections import Counter

from search.images import ImageSet, printable

SHOWN_PER_KIND = 20  # notes of one kind that are named one by one


def images_in_words(images: ImageSet) -> list[str]:
    """Lines: how many of what, then each note by name, those that left something out first."""
    height, width, channels = images.pixels.shape[1:]
    colour = "grey" if channels == 1 else "colour"
    lines = [f"images: {len(images.labels)} in {len(images.classes)} classes, read as {width} x {height} {colour}"]
    for label, name in enumerate(images.classes):
        of_class = images.labels == label
        training, testing = int((of_class & ~images.testing).sum()), int((of_class & images.testing).sum())
        lines.append(f"  {printable(name)}: {training}" + (f" (+ {testing} for testing)" if testing else ""))
    lines += _notes(images)
    return lines


def _notes(images: ImageSet) -> list[str]:
    left_out = sum(note.left_out for note in images.notes)
    if not images.notes:
        return []
    lines = [f"notes: {len(images.notes)}, of which {left_out} on files left out"]
    shown: Counter[str] = Counter()
    for note in sorted(images.notes, key=lambda n: (not n.left_out, n.kind, n.path)):
        shown[note.kind] += 1
        if shown[note.kind] <= SHOWN_PER_KIND:
            lines.append(f"  {note.kind}: {printable(note.path)}: {printable(note.message)}")
    more = [
        f"{count - SHOWN_PER_KIND} more of kind '{kind}'" for kind, count in shown.items() if count > SHOWN_PER_KIND
    ]
    return [*lines, *(f"  and {line}" for line in more)]
