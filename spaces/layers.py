"""One layer of a model, as the report draws it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One layer: name, Keras class, output shape without the batch axis, parameters, and details as text."""

    name: str
    kind: str
    shape: tuple[int | None, ...]
    parameters: int
    detail: str
