"""`search space`: the space of a preset or of a study, and a preview of augmentations."""

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
    """(Name, space) of a preset or of a study; `which` None: of the study here.

    For a study that has not begun, its images are read. Raises as `prepare` does.
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
    """Write training images under every augmentation to `target`, one .png file. Raises UsageError, OSError.

    `flip`: whether a picture mirrored left to right still shows its class.
    """
    with display.reading() as progress:
        image_set = read_images(images, progress=progress)
        training = ~image_set.testing
        write_preview(image_set.pixels[training], image_set.labels[training], target, flip=flip)
