"""How the saved model is used: commands in the study's folder."""

from __future__ import annotations

from dataclasses import dataclass

from reports.wording.going_on import HERE
from search.results.summary import StudySummary
from search.text import line_anywhere


@dataclass(frozen=True)
class Use:
    """One thing to do with the model."""

    what: str
    words: tuple[str, ...]  # of the command: verb and arguments

    @property
    def command(self) -> str:
        """The command as it is read on a page."""
        return line_anywhere(*self.words)


TITLE = "How to use the model"
ABOUT = "model.keras loads in Keras alone, takes pixels of 0 to 255 and needs nothing of this program."


def uses(data: StudySummary) -> tuple[Use, ...]:
    """What the saved model is for; empty if there is none."""
    if data.chosen is None:
        return ()
    return (
        Use("Classify new pictures, a file or a folder of them", ("predict", HERE, "NEW")),
        Use(
            "Take it elsewhere, as .onnx, .tflite, a folder (SavedModel), or .py (code)",
            ("export", "--to", "model.onnx"),
        ),
    )
