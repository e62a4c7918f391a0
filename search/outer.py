"""Where the outer folds of nested cross-validation are: studies within the folder of a study. Pure."""

from __future__ import annotations

from pathlib import Path

FOLDER = "nested"
_NAME = "outer-"


def outer_folder(study: Path, fold: int) -> Path:
    """The study that has never seen the images of a fold, counted from 0."""
    return study / FOLDER / f"{_NAME}{fold + 1}"


def whole(folder: Path) -> Path:
    """The study that a study belongs to: the one around it where it is an outer fold, else itself."""
    within = folder.parent.name == FOLDER and folder.name.startswith(_NAME)
    return folder.parent.parent if within else folder
