"""What goes wrong in a user's code, in a sentence with the user's line and, where it is known, the next step."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces.custom.file import ModelFile
from spaces.messages import first_line

KERAS_2 = "models here are of Keras 3: write `import keras`, and remove tf_keras and TF_USE_LEGACY_KERAS"

_FRAME = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)


class BuilderError(Exception):
    """The user's builder failed or returned no usable model. The message names the line of the user's file."""


class TrainsWhenLoadedError(Exception):
    """The user's file trains a model outside of its functions. `call` is what it called: 'model.fit'."""

    def __init__(self, call: str) -> None:
        super().__init__(call)
        self.call = call


@dataclass(frozen=True)
class UsersFrame:
    """A line of the user's code in a traceback."""

    file: str  # its name, without the folder
    line: int | None
    text: str

    @property
    def place(self) -> str:
        """'net.py, line 12'."""
        return f"{self.file}, line {self.line}"


def users_frames(error: BaseException, folder: Path) -> Sequence[UsersFrame]:
    """The lines of files in this folder that the error passed, the innermost last; of a SyntaxError its own line."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).parent == folder:
        return [UsersFrame(Path(error.filename).name, error.lineno, error.text or "")]
    return [
        UsersFrame(Path(frame.filename).name, frame.lineno, frame.line or "")
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent == folder
    ]


def place_in_message(error: BaseException, file: ModelFile | None) -> str:
    """'net.py, line 12: ', the innermost line of the user's code that the error passed or its message names; else ''.

    An error in a graph has no frames of the user: TensorFlow writes them into the message.
    """
    if file is None:
        return ""
    folder = Path(file.path).parent
    found = [(Path(path), number) for path, number in _FRAME.findall(str(error)) if Path(path).parent == folder]
    if found:
        return f"{found[-1][0].name}, line {found[-1][1]}: "
    frames = users_frames(error, folder)
    return f"{frames[-1].place}: " if frames else ""


def reason(error: BaseException, line: str, file: Path) -> str:
    """'ValueError: …' with the next step where Keras's own advice does not work here.

    `line` is the text of the user's line, `file` the user's file.
    """
    kind, message = type(error).__name__, first_line(error)
    if "optimizers.legacy" in message:
        optimizer = re.search(r"legacy\.(\w+)", line)
        step = f"write keras.optimizers.{optimizer.group(1) if optimizer else 'Adam'}(...)"
        return f"{kind}: keras.optimizers.legacy is of Keras 2, and this is Keras 3: {step}"
    if "legacy optimizer" in message:
        message = "an argument of Keras 2's optimizers (decay) is not known in Keras 3: give learning_rate a schedule, "
        message += "such as keras.optimizers.schedules.InverseTimeDecay"
    elif "tf_keras" in message or "TF_USE_LEGACY_KERAS" in message:
        message = f"{message.partition('.')[0]}; {KERAS_2}"
    elif isinstance(error, AttributeError) and "experimental" in message and "preprocessing" in line:
        message += "; in Keras 3 its layers are in keras.layers, such as keras.layers.Rescaling"
    elif isinstance(error, ModuleNotFoundError) and (file.parent / str(error.name)).is_dir():
        message += f" (a folder beside {file.name} is not looked into: only modules of one file are; or install it)"
    return f"{kind}: {message}"


def is_of_keras_2(kind: type) -> bool:
    """Whether a class is one of tf_keras, or made of one."""
    return any(base.__module__.partition(".")[0] == "tf_keras" for base in kind.__mro__)
