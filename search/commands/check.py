"""`search check`: images read and looked over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.data.check import check_images, findings
from search.data.findings import Findings
from search.data.images import ImageSet, read_images


def look_over(
    root: Path, groups: str | None, folds: int | None, progress: Callable[[int, int], None] | None = None
) -> tuple[ImageSet, Findings]:
    """Read a folder of images and look them over. Raises UsageError for images or groups that cannot be read."""
    images = read_images(root, progress=progress)
    return images, findings(images, check_images(images, groups, Path(), folds), root.resolve().name)
