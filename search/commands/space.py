"""`search space`: the space of a preset or of a study, and what augmentation does to pictures."""

from __future__ import annotations

from pathlib import Path

from search.commands.session import Display
from search.data.images import read_images
from search.errors import UsageError
from search.session.prepare import prepare
from search.study import config as toml
from search.study.folder import StudyFolder
from search.study.identity import stored_space
from search.worker.preview import write_preview
from spaces import Space
from spaces.presets import EXAMPLE, PRESETS, preset


def space_of(which: str | None, *, display: Display) -> tuple[str, Space]:
    """The space of a preset or of a study, with its name; `which` None: of the study here.

    A study that has not begun is prepared for it: its images are read. Raises as `prepare` does.
    """
    if which is not None and (which in PRESETS or not Path(which).exists()):
        return which, preset(which).space(EXAMPLE)
    try:
        folder = StudyFolder.find(Path(which) if which else None)
    except UsageError as error:
        raise UsageError(f"{error}; or name a preset: {', '.join(PRESETS)}") from None
    if folder.begun:
        with folder.read() as store:
            return str(folder), stored_space(store)
    with display.reading() as progress:
        return str(folder), prepare(toml.read(folder.path), folder.path, progress).space


def preview(images: Path, target: Path, *, flip: bool, display: Display) -> None:
    """Write a sheet of training images under every augmentation to `target`, a .png file. Raises UsageError, OSError.

    `flip`: whether a picture turned left to right still shows its class.
    """
    with display.reading() as progress:
        found = read_images(images, progress=progress)
        training = ~found.testing
        write_preview(found.pixels[training], found.labels[training], target, flip=flip)
