"""The images that are worth looking at: mistakes by class pair, unsure predictions, labels in doubt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from reports.html.gradcam import look
from reports.html.thumbnails import breakable, thumbnail
from reports.wording import gradcam as look_words
from reports.wording import labels as label_words
from reports.wording import values
from search.results.labels import shown
from search.results.pictures import Pictures
from search.results.shipped import Example
from search.results.summary import StudySummary

_OPEN = 3  # groups of mistakes that are open at first
_BOLD, _PLAIN = Markup("<b>{}</b>"), Markup("{}")


@dataclass(frozen=True)
class Shot:
    """One image as it is shown."""

    picture: Markup | None  # None: it is gone
    caption: Markup
    path: Markup
    look: Markup | None = None  # an image over it: where the model looks
    where: str = ""  # the same in words


@dataclass(frozen=True)
class Group:
    """The shown mistakes of one cell of the confusion matrix."""

    id: str  # of the element that the cell links to
    label: str
    predicted: str
    count: int
    total: int  # images of the class
    shots: Sequence[Shot]
    open: bool


@dataclass(frozen=True)
class Gallery:
    """All that a report shows in pictures."""

    groups: Sequence[Group]
    others: int  # mistakes of class pairs that are not shown
    unsure: Sequence[Shot]
    accused: Sequence[Shot]  # labels above the line
    doubted: Sequence[Shot]  # and some below it
    missing: str  # a sentence on images that are gone; empty: none is
    looks: str = ""  # what the images over pictures show; empty: there are none

    def link(self, label: int, predicted: int) -> str | None:
        """Where the mistakes of a cell are shown, within the page."""
        name = _id(label, predicted)
        return f"#{name}" if any(group.id == name for group in self.groups) else None


def gallery(data: StudySummary, pictures: Pictures) -> Gallery:
    """What to show of a study, with the pictures that there are."""
    classes, mistakes = data.study.classes, data.telling.mistakes
    totals = data.pooled.confusion.sum(axis=1) if data.pooled else []
    groups = [
        Group(
            id=_id(mistaken.label, mistaken.predicted),
            label=classes[mistaken.label],
            predicted=classes[mistaken.predicted],
            count=mistaken.count,
            total=int(totals[mistaken.label]),
            shots=_of_examples(data, pictures, mistaken.examples, sure=True),
            open=place < _OPEN,
        )
        for place, mistaken in enumerate(mistakes)
        if mistaken.examples
    ]
    labels = [
        (suspect, _shot(pictures, suspect.row, suspect.path, label_words.caption(data, suspect)))
        for suspect in shown(data.suspects)
    ]
    unsure = _of_examples(data, pictures, data.telling.unsure, sure=False)
    has_looks = any(shot.look for shots in (unsure, *(group.shots for group in groups)) for shot in shots)
    return Gallery(
        groups=groups,
        others=sum(mistaken.count for mistaken in mistakes if not mistaken.examples),
        unsure=unsure,
        accused=[shot for suspect, shot in labels if suspect.accused],
        doubted=[shot for suspect, shot in labels if not suspect.accused],
        missing=pictures.missing,
        looks=look_words.about(pictures.looks, together=data.chosen is not None and data.chosen.together)
        if has_looks
        else "",
    )


def _id(label: int, predicted: int) -> str:
    return f"mistaken-{label}-{predicted}"


def _of_examples(data: StudySummary, pictures: Pictures, examples: Iterable[Example], *, sure: bool) -> list[Shot]:
    words = label_words.sure if sure else label_words.unsure
    return [_with_look(pictures, example, words(data, example)) for example in examples]


def _with_look(pictures: Pictures, example: Example, caption: Sequence[tuple[str, str]]) -> Shot:
    """With where the model looks for the class that it says, if that is known."""
    shot = _shot(pictures, example.row, example.path, caption)
    small, found = pictures.small.get(example.row), pictures.looks.at(example.row, example.predicted)
    if small is None or found is None:
        return shot
    return replace(shot, look=look(found, small.shape), where=look_words.place(found))


def _shot(pictures: Pictures, row: int, path: str, caption: Sequence[tuple[str, str]]) -> Shot:
    """`caption`: (word, 'b' or '') in their order."""
    small = pictures.small.get(row)
    written = Markup("").join((_BOLD if kind else _PLAIN).format(word) for word, kind in caption)
    alt = f"the picture {values.shortened(path, 90)}"
    return Shot(None if small is None else thumbnail(small, alt), written, breakable(path))
