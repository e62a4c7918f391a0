"""The card of a model, in Markdown: for whoever uses it without its study. All names from files are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.markup import plain, table
from reports.wording import answer as answer_words
from reports.wording import calibration as calibration_words
from reports.wording import exported as export_words
from reports.wording import recall as recall_words
from reports.wording import study as words
from reports.wording import values
from search.files import write_atomically
from search.results.backbones import ListedBackbone
from search.results.exported import Exported
from search.results.recall import recalls
from search.results.standing import standings

_FEW = 30  # pictures of a class, below which its rate has an interval of more than 30 points


def write(done: Exported) -> Path:
    """Write the card beside the model, atomically, and return its path. Raises OSError."""
    write_atomically(done.card, render(done))
    return done.card


def render(done: Exported) -> str:
    """The whole card."""
    data = done.summary
    parts = [
        f"# {plain(values.shortened(data.study.name, 120))}",
        plain(_what(done)),
        _use(done),
        _data(done),
        _expected(done),
        _classes(done),
        _chosen(done),
        _limits(done),
        _licences(done.backbones),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(done: Exported) -> str:
    classes = values.count(len(done.classes), "class", "classes")
    if done.is_code:
        return (
            f"{done.path.name} is no model but code that trains one: an image classifier of {classes}. It has other "
            "random numbers, so it may do a little better or worse than the model that this page tells of."
        )
    return f"An image classifier of {classes}, {done.path.name}."


def _use(done: Exported) -> str:
    height, width, channels = done.image_shape
    rows = [
        ("format", export_words.format_(done)),
        ("input", f"float32 pixels 0 to 255, {width} x {height} (width x height), {values.count(channels, 'channel')}"),
        ("output", f"probabilities of {', '.join(map(values.visible, done.classes))}, in this order"),
    ]
    if not done.is_code and (calibrated := done.summary.calibrated):
        correction = calibrated.correction
        those = "" if correction.is_none else " Only `search predict` does so: in the file they are the network's own."
        rows.append(("how sure it is", f"{calibration_words.corrected(correction)}{those}"))
    if done.agreement:
        rows.append(("beside the study's model", export_words.agreement(done.agreement)))
    return f"## How to use it\n\n{table(('', ''), rows)}"


def _data(done: Exported) -> str:
    data = done.summary
    rows = [(name, f"{number:,}") for name, number in zip(data.study.classes, data.class_counts, strict=True)]
    notes = [f"- {plain(note)}" for note in data.study.notes]
    apart = values.count(data.testing_images, "image") + " kept apart for testing."
    told = [plain(f"{words.images_words(data)}."), plain(apart) if data.testing_images else ""]
    text = "\n\n".join([part for part in told if part])
    found = "\n".join(["", "", *notes]) if notes else ""
    return f"## What it was trained on\n\n{text}\n\n{table(('class', 'images for training'), rows)}{found}"


def _expected(done: Exported) -> str:
    data = done.summary
    tell = (answer_words.answer, answer_words.tested, answer_words.compared)
    told = [plain(sentence) for of in tell if (sentence := of(data))]
    rows = [(answer_words.label(row), answer_words.in_words(data, row)) for row in standings(data)]
    head = ("", f"{values.metric_words(data.metric)} (95 % interval)")
    return "\n\n".join(["## How good it is", *told, *([table(head, rows)] if rows else [])])


def _classes(done: Exported) -> str:
    pooled = done.summary.pooled
    if pooled is None:
        return ""
    names = done.summary.study.classes
    rows = [(names[one.label], recall_words.share(one)) for one in recalls(pooled.confusion)]
    about = "By networks that were not trained on the picture."
    return f"## Each class\n\n{about}\n\n{table(('class', 'recognized (95 % interval)'), rows)}"


def _chosen(done: Exported) -> str:
    data = done.summary
    tell = (answer_words.model, words.choice)
    told = [plain(sentence) for of in tell if (sentence := of(data))]
    facts = (
        f"Chosen from {values.count(data.compared, 'compared trial')} of {values.count(len(data.rows), 'trial')} in "
        f"{values.duration(data.spent_seconds)} by {values.metric_words(data.metric)} in {data.folds}-fold "
        f"cross-validation; space {data.preset}, sampler {data.sampler}, seed {data.study.seed}, images "
        f"{data.study.fingerprint[:16]}."
    )
    versions = ", ".join(f"{name} {version}" for name, version in data.versions.items())
    return "\n\n".join(["## How it was chosen", *told, plain(facts), plain(f"Made with {versions}.")])


def _limits(done: Exported) -> str:
    data = done.summary
    limits = [
        "It answers with one of its classes, whatever the picture shows; a picture of none of them gets one too.",
        "The estimate is for pictures like those of the study: of the same kind, camera and place. On others it can be "
        "much worse, and nothing here measures that.",
        f"Pictures are squeezed to {done.image_shape[1]} x {done.image_shape[0]} (width x height): detail that is lost "
        "so is not seen.",
    ]
    if warning := words.too_good(data):
        limits.insert(0, warning)
    if len(data.class_counts) and min(data.class_counts) < _FEW:
        limits.append(f"A class has {min(data.class_counts)} pictures: its own rates are hardly known.")
    return "## Limits\n\n" + "\n".join(f"- {plain(limit)}" for limit in limits)


def _licences(backbones: Sequence[ListedBackbone]) -> str:
    if not backbones:
        return "## Licences\n\nIts networks were trained from scratch, so no weights of others are in it."
    rows = [
        (one.title, one.licence or "not known here", one.source or "not at hand here", (one.sha256 or "")[:16])
        for one in backbones
    ]
    about = "It has weights of these pre-trained networks, or weights trained on from them. Their licences hold for it."
    return f"## Licences\n\n{about}\n\n{table(('network', 'licence', 'from', 'SHA-256'), rows)}"
