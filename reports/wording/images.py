"""What was found in a folder of images, in sentences."""

from __future__ import annotations

from reports.wording import values
from search.data.findings import RIGHT_FOLDER, DuplicateKind, Findings, PairView

TITLES = {
    DuplicateKind.CONTRADICTION: "One picture in two classes",
    DuplicateKind.LEAK: "In training and in testing",
    DuplicateKind.COPY: "Copies within a class",
    DuplicateKind.MIRRORED: "Mirror images in two classes",
}
ABOUT = {
    DuplicateKind.CONTRADICTION: "Both labels cannot be right, and no model can learn both. Keep the right one.",
    DuplicateKind.LEAK: "A model that was trained on a picture recognizes it in the test. "
    "So the training copy is used in no fold.",
    DuplicateKind.COPY: "They stay in one fold, so that no model is judged by a picture that it was trained on.",
    DuplicateKind.MIRRORED: "They are the same picture, flipped left to right, and training flips pictures by default. "
    "If the class depends on left and right, search with --no-flip.",
}


def headline(findings: Findings) -> str:
    """The answer in a sentence."""
    if findings.problem:
        return f"These images cannot be searched yet. {values.visible(findings.problem)}"
    grave = sum(len(findings.of(kind)) for kind in (DuplicateKind.CONTRADICTION, DuplicateKind.LEAK))
    left_out = sum(remark.left_out for remark in findings.remarks)
    parts = [f"{'If it is, it is ready' if findings.doubt else 'Ready'} for a search with {findings.folds} folds"]
    if grave:
        parts.append(f"look at {values.count(grave, 'pair')} of pictures first")
    if left_out:
        parts.append(f"{values.count(left_out, 'file')} left out")
    return (f"{RIGHT_FOLDER} " if findings.doubt else "") + "; ".join(parts) + "."


def question(findings: Findings) -> str:
    """Whether another folder is meant, and why."""
    return f"{RIGHT_FOLDER} {findings.doubt}"


def likeness_words(pair: PairView) -> str:
    """How alike the two are."""
    if pair.exact:
        return "the same pixels"
    return ("mirrored, " if pair.mirrored else "") + f"{100 * pair.likeness:.1f} % alike"
