"""`search check`: images are read and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search.commands.request import Settings, page_beside, whole_path
from search.commands.session import Display
from search.data.check import check_images, findings
from search.data.findings import Findings
from search.data.images import ImageSet, read_images
from search.data.origin import Origin, name_of_set


@dataclass(frozen=True)
class CheckResult:
    """The findings about the images, and the path of their page."""

    findings: Findings
    page: Path


def check(images: Path, settings: Settings, *, display: Display) -> CheckResult:
    """Check a folder of images. Raises UsageError for images, labels or groups that cannot be read.

    Of the settings, those of the images, `groups` and `folds` are used. That images cannot be searched is a finding,
    not an error.
    """
    page = page_beside(images, "check", settings.also)
    origin = settings.origin(images)
    with display.reading() as progress:
        _, its_findings = look_over(origin, whole_path(settings.groups), settings.folds, progress)
    return CheckResult(its_findings, page)


def look_over(
    root: Path | Origin, groups: str | None, folds: int | None, progress: Callable[[int, int], None] | None = None
) -> tuple[ImageSet, Findings]:
    """Read a set of images and check them. Raises UsageError for images, labels or groups that cannot be read."""
    origin = root if isinstance(root, Origin) else Origin((root,))
    images = read_images(origin, progress=progress)
    name = name_of_set([each.resolve() for each in origin.roots])
    return images, findings(images, check_images(images, groups, Path(), folds), name)
