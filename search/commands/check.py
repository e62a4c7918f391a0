"""`search check`: images are read and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search.commands.request import page_beside, whole_path
from search.commands.session import Display
from search.data.check import check_images, findings
from search.data.findings import Findings
from search.data.images import ImageSet, read_images


@dataclass(frozen=True)
class CheckResult:
    """The findings about the images, and the path of their page."""

    findings: Findings
    page: Path


def check(images: Path, *, groups: str | None = None, folds: int | None = None, display: Display) -> CheckResult:
    """Check a folder of images. Raises UsageError for images or groups that cannot be read.

    That images cannot be searched is a finding, not an error.
    """
    page = page_beside(images, "check")
    with display.reading() as progress:
        _, its_findings = look_over(images, whole_path(groups), folds, progress)
    return CheckResult(its_findings, page)


def look_over(
    root: Path, groups: str | None, folds: int | None, progress: Callable[[int, int], None] | None = None
) -> tuple[ImageSet, Findings]:
    """Read a folder of images and check them. Raises UsageError for images or groups that cannot be read."""
    images = read_images(root, progress=progress)
    return images, findings(images, check_images(images, groups, Path(), folds), root.resolve().name)
