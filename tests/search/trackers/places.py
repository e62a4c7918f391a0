"""A study in its folder, for what is written into trackers."""

from __future__ import annotations

from pathlib import Path

from search.study.folder import StudyFolder


def a_place(root: Path) -> StudyFolder:
    """A study folder with a report, a model and its card; what is in them does not matter to a tracker."""
    folder = StudyFolder(root / "pictures-study")
    folder.models.mkdir(parents=True)
    folder.report.write_text("<h1>report</h1>")
    folder.report.with_suffix(".md").write_text("# The report\n\nRight 8 of 10 times.\n")
    folder.model.write_bytes(b"a model")
    (folder.models / "choice.md").write_text("# The card\n")
    return folder
