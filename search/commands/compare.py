"""`search compare`: studies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.commands.report import stored_of
from search.errors import UsageError
from search.results import compare as results
from search.results.compare import Comparison
from search.study.folder import StudyFolder
from search.text import command_line


def compare(studies: Sequence[Path]) -> Comparison:
    """The studies in these folders side by side; the others are compared with the first.

    Raises UsageError for fewer than two, for one that is named twice, or that has not begun; StorageError.
    """
    if len(studies) < 2:
        given = f"got {studies[0]} alone" if studies else "got none"
        raise UsageError(
            f"compare needs two studies at least, {given}; name another: {command_line('compare', 'A', 'B')}"
        )
    folders = [StudyFolder.find(path) for path in studies]
    seen: dict[Path, StudyFolder] = {}
    for folder in folders:
        whole = folder.path.resolve()
        if whole in seen:
            raise UsageError(f"{folder} is the same study as {seen[whole]}; name each study once")
        seen[whole] = folder
    return results.compare([(str(folder), stored_of(folder)) for folder in folders])
