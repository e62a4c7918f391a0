"""`search space`: the space of a preset or of a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.errors import UsageError
from search.session.prepare import prepare
from search.study import config as toml
from search.study.folder import StudyFolder
from search.study.identity import stored_space
from spaces import Space
from spaces.presets import EXAMPLE, PRESETS, preset


def space_of(which: str | None, progress: Callable[[int, int], None] | None = None) -> tuple[str, Space]:
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
    return str(folder), prepare(toml.read(folder.path), folder.path, progress).space
