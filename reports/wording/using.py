"""How the saved model is used: commands in the study's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reports.wording.going_on import HERE, own_model
from reports.wording.values import visible
from search.results.summary import StudySummary
from search.text import line_anywhere


@dataclass(frozen=True)
class Use:
    """One thing to do with the model."""

    what: str
    words: tuple[str | Path, ...]  # of the command: verb and arguments

    @property
    def command(self) -> str:
        """The command as it is read on a page."""
        return line_anywhere(*map(str, self.words))


TITLE = "How to use the model"
ABOUT = (
    "models/choice.keras, in the study's folder, loads in Keras alone, takes pixels of 0 to 255 and needs nothing of "
    "this program. Commands are typed in that folder."
)


def uses(data: StudySummary) -> tuple[Use, ...]:
    """What the saved model is for; empty if there is none."""
    if data.chosen is None:
        return ()
    if data.chosen.missing:
        return (Use("Its file is not in this folder; make it of what is stored", _making(data)),)
    return (
        Use("Classify new pictures, a file or a folder of them", ("predict", HERE, "NEW")),
        Use(
            "Take it elsewhere, as .onnx, .tflite, a folder (SavedModel), or .py (code)",
            ("export", "--to", "model.onnx"),
        ),
    )


def _making(data: StudySummary) -> tuple[str | Path, ...]:
    """The command that trains what was chosen. Without settings it has those that differ most, and no more trials."""
    own = own_model(data)
    if data.has_settings:
        return ("export", "--to", "model.keras", *own)
    which = own or ("--preset", visible(data.preset))
    seed = ("--seed", str(data.study.seed)) if data.study.seed else ()
    return ("run", "IMAGES", *which, *seed, "--trials", str(len(data.rows)), "--dir", Path(HERE))
