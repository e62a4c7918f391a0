"""A model as a stack of plates, one per layer. Width shows the size of its output image, thickness the channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from reports.html import svg
from reports.wording import values
from storage.records import LayerRecord

_MAX_ROWS = 40  # if a model has more layers, neighbours of one shape are drawn as one plate
_WIDE = 190.0
_SLANT = 0.28  # the height at which a plate's depth is drawn, as a share of its width
_GAP = 5.0  # above and below a plate


@dataclass(frozen=True)
class LayerRow:
    """One line of the drawing."""

    plate: Markup
    title: str  # 'Conv2D'
    detail: str
    name: str
    shape: str  # '64 x 64 x 16'
    parameters: int
    share: float  # of the whole model's parameters, 0 to 1


@dataclass(frozen=True)
class Architecture:
    """The drawing of a model."""

    rows: tuple[LayerRow, ...]
    layers: int
    parameters: int
    label: str  # the model in a sentence, for screen readers

    @property
    def merged(self) -> bool:
        """Whether some rows stand for several layers."""
        return len(self.rows) < self.layers


def architecture(layers: Sequence[LayerRecord]) -> Architecture | None:
    """The drawing; None without layers."""
    if not layers:
        return None
    groups = [[layer] for layer in layers] if len(layers) <= _MAX_ROWS else _by_shape(layers)
    total = sum(layer.parameters for layer in layers)
    size = max([_side(layer.shape) for layer in layers if len(layer.shape) > 1], default=1.0)
    rows = tuple(_row(group, total, size, last=group is groups[-1]) for group in groups)
    weights = [layer for layer in layers if layer.parameters]
    label = (
        f"{values.count(len(layers), 'layer')}, {len(weights)} of them with weights, {total:,} weights; from "
        f"{shape_words(layers[0].shape)} to {shape_words(layers[-1].shape)}"
    )
    return Architecture(rows, len(layers), total, label)


def shape_words(shape: Sequence[int | None]) -> str:
    """'64 x 64 x 16' with real multiplication signs; '?' where an axis has no fixed size."""
    return " \u00d7 ".join("?" if size is None else str(size) for size in shape) or "one number"


def _by_shape(layers: Sequence[LayerRecord]) -> list[list[LayerRecord]]:
    return [list(group) for _, group in groupby(layers, key=lambda layer: layer.shape)]


def _row(group: Sequence[LayerRecord], total: int, size: float, *, last: bool) -> LayerRow:
    parameters = sum(layer.parameters for layer in group)
    first = group[0]
    plate = _plate(first.shape, size, filled=parameters > 0, line_below=not last)
    share = parameters / total if total else 0.0
    if len(group) == 1:
        return LayerRow(plate, first.kind, first.detail, first.name, shape_words(first.shape), parameters, share)
    kinds = list(dict.fromkeys(layer.kind for layer in group))
    title = ", ".join(kinds[:3]) + (" …" if len(kinds) > 3 else "")
    detail = values.count(len(group), "layer")
    return LayerRow(plate, title, detail, first.name, shape_words(first.shape), parameters, share)


def _side(shape: Sequence[int | None]) -> float:
    """The larger of height and width; an unknown one counts as 1."""
    return float(max((size or 1 for size in shape[:-1]), default=1))


def _plate(shape: Sequence[int | None], size: float, *, filled: bool, line_below: bool) -> Markup:
    """One plate. Square roots and logarithms fit sizes from 1 to 512 on a page; what is larger is drawn larger."""
    channels = (shape[-1] if shape else 1) or 1
    if len(shape) > 1:
        wide = 26 + (_WIDE - 40) * math.sqrt(_side(shape) / size)
        depth, thick = wide * _SLANT, 3 + 2.6 * math.log2(1 + channels)
    else:
        wide, depth, thick = 14 + 12.0 * math.log2(1 + channels), 0.0, 9.0
        wide = min(wide, _WIDE - 14)
    high = depth + thick + 2 * _GAP
    left, right, top = (_WIDE - wide) / 2, (_WIDE + wide) / 2, _GAP
    middle = _WIDE / 2
    parts = [svg.line(middle, 0, middle, high if line_below else high / 2, "flow")]
    if depth:
        skew = wide * 0.16
        edge, near = right - skew, top + depth
        face = f"M{left:.1f} {near:.1f}L{left + skew:.1f} {top:.1f}H{right:.1f}L{edge:.1f} {near:.1f}Z"
        front = f"M{left:.1f} {near:.1f}H{edge:.1f}v{thick:.1f}H{left:.1f}Z"
        side = f"M{edge:.1f} {near:.1f}L{right:.1f} {top:.1f}v{thick:.1f}L{edge:.1f} {near + thick:.1f}Z"
        parts += [svg.tag("path", d=d, class_=c) for d, c in ((face, "face"), (front, "front"), (side, "side"))]
    else:
        parts.append(svg.tag("rect", x=left, y=top, width=wide, height=thick, rx=2.0, class_="front"))
    return svg.tag(
        "svg",
        *parts,
        viewBox=f"0 0 {_WIDE:g} {high:.1f}",
        class_="plate filled" if filled else "plate",
        aria_hidden="true",
        width=_WIDE,
        height=high,
    )
