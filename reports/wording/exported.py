"""What `search export` says of a model that it wrote."""

from __future__ import annotations

from collections.abc import Sequence

from reports.wording.values import count, in_percent, metric_words, number, visible
from search.results.agreement import Agreement
from search.results.exported import Exported
from search.text import command_line


def lines(done: Exported) -> list[str]:
    """What was written, what it takes and gives, how it compares, and the command that tries it."""
    if done.format == "Python":
        written = ", ".join(str(file) for file in done.files)
        return [
            f"wrote {written}; card: {done.card}",
            f"it needs nothing of this project; try it: python {done.path} PICTURES --folds",
        ]
    height, width, channels = done.image_shape
    names = ", ".join(map(visible, done.classes))
    return [
        f"wrote {done.path}; try it: {command_line('predict', done.path, 'PICTURES')}",
        f"input: pixels 0 to 255, {width} x {height} (width x height), {count(channels, 'channel')}{_batch(done)}",
        f"output: probabilities of {names}, in this order",
        *([f"{format_(done)}: {agreement(done.agreement)}"] if done.agreement else []),
        f"card: {done.card}",
    ]


def _batch(done: Exported) -> str:
    batch = done.says.get("batch")
    return f", {count(batch, 'picture')} at once" if batch else ""


def format_(done: Exported) -> str:
    """'LiteRT, int8' or 'ONNX, opset 18'."""
    more = [str(done.says["quantized"])] if done.says.get("quantized") else []
    more += [f"opset {done.says['opset']}"] if "opset" in done.says else []
    return ", ".join([done.format, *more])


def agreement(measured: Agreement) -> str:
    """How the file compares with the study's model, in one sentence."""
    return (
        f"on {count(measured.images, 'image')} of the study its probabilities differ by at most "
        f"{measured.largest:.1e} from the model's, {_classes(measured.differing)}; {size(measured.bytes)}, "
        f"{number(measured.milliseconds, 1)} ms an image alone (in Keras {number(measured.milliseconds_before, 1)}); "
        f"{scores(measured)}"
    )


def _classes(differing: int) -> str:
    return (
        f"and {count(differing, 'image')} get{'s' if differing == 1 else ''} another class"
        if differing
        else ("and no image gets another class")
    )


def scores(measured: Agreement) -> str:
    """Both scores, in the metric of the study's report, and on what."""
    which = "testing image" if measured.testing else "image of the study"
    which = f"{measured.judged:,} {which if measured.judged == 1 else which.replace('image', 'images')}"
    score, before = (_score(measured.metric, value) for value in (measured.score, measured.score_before))
    return f"{metric_words(measured.metric)} {score} on {which} (the model: {before})"


def _score(metric: str, value: float) -> str:
    return f"{100 * value:.1f} %" if in_percent(metric) else number(value)


def _lost(measured: Agreement) -> str:
    if in_percent(measured.metric):
        return f"{100 * measured.lost:.1f} points of {metric_words(measured.metric)}"
    return f"{number(measured.lost)} of {metric_words(measured.metric)}"


def size(bytes_: int) -> str:
    """'1.4 MB'."""
    return f"{bytes_ / 1e6:.2f} MB" if bytes_ < 1e6 else f"{bytes_ / 1e6:.1f} MB"


def warnings(done: Exported) -> Sequence[str]:
    """What a user must know of it: each is told on standard error."""
    told = []
    measured = done.agreement
    if measured and measured.costly:
        told.append(
            f"WARNING: {format_(done)} costs {_lost(measured)}: {done.path} has {scores(measured)}. "
            "Without --quantize it has the model's own numbers"
        )
    if done.missing:
        told.append(
            f"{count(done.missing, 'image')} of the study are not there any more, or were changed: not compared"
        )
    return told
