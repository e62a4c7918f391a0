"""A custom model: `file.py:build`, with Keras Tuner's convention `build(hp) -> keras.Model`.

`hp` is Keras Tuner's own `HyperParameters`, so defaults and steps are the usual ones. The parameters that the
builder requests of it become a Space (`discovery.py`). For a point of that space, the builder runs again with an `hp`
that has its values.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from spaces.custom.discovery import Run, discovered, requested
from spaces.custom.file import ChangedError, ModelFile, load
from spaces.facts import Facts
from spaces.parameters import SpaceError, Value
from spaces.space import Space

if TYPE_CHECKING:
    import keras
    import keras_tuner

_Function: TypeAlias = "Callable[[keras_tuner.HyperParameters], Any]"  # of the user

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # escape codes in Keras's messages

_ANYTHING = (Exception, SystemExit, KeyboardInterrupt)  # what a user's code may raise
DISCOVERY_SECONDS = 60.0  # after which discovery returns the parameters found so far


class BuilderError(Exception):
    """The user's builder failed or returned no usable model. The message names the line of the user's file."""


class OwnModel:
    """The user's builder. For workers only: it runs the user's code."""

    def __init__(self, file: ModelFile, facts: Facts) -> None:
        """Raises BuilderError where the file changed, does not load, or has no such builder."""
        self._file, self._facts = file, facts
        self._builder, self._callbacks = self._load()

    @property
    def name(self) -> str:
        """Of the file and the builder in it."""
        return self._file.name

    def build(self, params: Mapping[str, Value]) -> keras.Model:
        """The model of one point, as the builder returned it. Raises BuilderError if that is no usable model."""
        return self._built(params)[0]

    def compiled(self, params: Mapping[str, Value]) -> tuple[keras.Model, list[keras.callbacks.Callback]]:
        """The model of one point with the user's optimizer and loss, or Adam and a cross-entropy where it has none.

        The user's metrics give way to those that every trial is judged by. With it come the callbacks that
        `callbacks(hp)` of the same file returns, where there is such a function.
        """
        import keras

        from spaces import compiling

        model, callbacks = self._built(params)
        optimizer = model.optimizer if model.compiled else keras.optimizers.Adam()
        eager, loss = model.compiled and model.run_eagerly, model.loss if model.compiled else None
        metrics = ["accuracy"] if callbacks else []  # EarlyStopping looks there for what is better, more or less of it
        model = compiling.compiled(model, self._facts.classes, optimizer, loss, metrics)
        model.run_eagerly = eager
        return model, callbacks

    def _built(self, params: Mapping[str, Value]) -> tuple[keras.Model, list[keras.callbacks.Callback]]:
        hp, model, callbacks = self._run(params)
        unknown = [name for name in requested(hp) if name not in params]
        if unknown:
            raise BuilderError(
                f"{self._file.name} asked for {', '.join(map(repr, unknown))} at this point only, and not when its "
                "parameters were discovered; ask for it in a hp.conditional_scope, or at every point"
            )
        return self._checked(model, params), callbacks

    def discover(self) -> tuple[Space, bool]:
        """(the space, found by running the builder at many points, whether that was done within DISCOVERY_SECONDS).

        See `discovery.discovered`. Raises BuilderError where the builder fails at its own defaults, or asks for what
        cannot be searched; elsewhere a failure tells nothing more of the space.
        """
        _, model, _ = self._run({})
        self._checked(model, {})
        try:
            return discovered(self._run_at, DISCOVERY_SECONDS)
        except SpaceError as error:
            raise BuilderError(f"{self._file.name}: {error}") from error

    def _run_at(self, values: Mapping[str, Value]) -> Run:
        hp = _hyperparameters(values)
        try:
            self._call(hp)
        except BuilderError:
            return hp, False
        return hp, True

    def _run(
        self, params: Mapping[str, Value]
    ) -> tuple[keras_tuner.HyperParameters, Any, list[keras.callbacks.Callback]]:
        hp = _hyperparameters(params)
        return hp, *self._call(hp)

    def _call(self, hp: keras_tuner.HyperParameters) -> tuple[Any, list[keras.callbacks.Callback]]:
        """(what the builder returns, callbacks): both may ask for parameters."""
        import keras

        try:
            model = self._builder(hp)
            callbacks = self._callbacks(hp) if self._callbacks else []
        except _ANYTHING as error:
            raise BuilderError(self._where(error)) from error
        if not isinstance(callbacks, list) or not all(isinstance(c, keras.callbacks.Callback) for c in callbacks):
            raise BuilderError(f"callbacks(hp) in {Path(self._file.path).name} must return a list of keras callbacks")
        return model, callbacks

    def _where(self, error: BaseException, otherwise: str = "") -> str:
        """The error with the user's own last line: 'net.py, line 12: ValueError: …', or `otherwise`."""
        path = Path(self._file.path)
        lines = [
            f"{Path(frame.filename).name}, line {frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)
            if self._is_users(frame.filename)
        ]
        if isinstance(error, SyntaxError) and error.filename and self._is_users(error.filename):
            lines = [f"{Path(error.filename).name}, line {error.lineno}"]
        reason = f"{type(error).__name__}: {_first_line(error)[:300]}"
        if isinstance(error, ModuleNotFoundError) and (path.parent / str(error.name)).is_dir():
            reason += f" (a folder beside {path.name} is not looked into: only modules of one file are; or install it)"
        return f"{lines[-1] if lines else otherwise or path.name}: {reason}"

    def _is_users(self, filename: str) -> bool:
        """Whether its lines are the user's own: the file, or one beside it."""
        return Path(filename).parent == Path(self._file.path).parent

    def _at_return(self, params: Mapping[str, Value]) -> str:
        """Where the builder returns its model at this point: 'net.py, line 20'. It is run once more, and watched."""
        lines: list[str] = []

        def watch(frame: FrameType, event: str, _: Any) -> None:
            if event == "return" and self._is_users(frame.f_code.co_filename):
                lines.append(f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}")

        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            with contextlib.suppress(Exception):  # it failed just now, or it would not be asked
                self._builder(_hyperparameters(params))
        finally:
            sys.setprofile(before)
        return lines[-1] if lines else self._file.name  # the builder is the last of the user's to return

    def _load(self) -> tuple[_Function, _Function | None]:
        """(the builder, the function `callbacks` where the file has one)."""
        try:
            module = load(self._file)
        except ChangedError as error:
            raise BuilderError(str(error)) from error
        except _ANYTHING as error:
            raise BuilderError(self._where(error)) from error
        return self._builder_in(module), self._callbacks_in(module)

    def _callbacks_in(self, module: ModuleType) -> _Function | None:
        found: Any = getattr(module, "callbacks", None)
        if isinstance(found, list | tuple):
            raise BuilderError(
                f"callbacks in {Path(self._file.path).name} is a list, but every fold needs callbacks of its own: "
                "make it a function, def callbacks(hp), that returns the list"
            )
        return found if isinstance(found, FunctionType) else None  # not Keras's module of that name

    def _builder_in(self, module: ModuleType) -> _Function:
        import keras_tuner

        found: Any = getattr(module, self._file.function, None)
        if isinstance(found, type) and issubclass(found, keras_tuner.HyperModel):
            found = self._made(found)
        if isinstance(found, keras_tuner.HyperModel):
            if getattr(type(found), "fit", None) is not keras_tuner.HyperModel.fit:
                raise BuilderError(
                    f"{self._file.name} has a `fit` of its own, which cannot be used: every trial is trained on folds "
                    "that are drawn here. Remove `fit`, and declare batch_size and epochs with hp in `build`"
                )
            found = found.build
        if not callable(found):
            names = sorted(n for n, value in vars(module).items() if callable(value) and not n.startswith("_"))
            raise BuilderError(f"{self._file.name}: no function or HyperModel of this name; there: {', '.join(names)}")
        builder: _Function = found
        return builder

    def _made(self, kind: type[keras_tuner.HyperModel]) -> keras_tuner.HyperModel:
        needed = [
            p.name
            for p in inspect.signature(kind).parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if needed:
            name = kind.__name__
            raise BuilderError(
                f"{self._file.name} needs {', '.join(needed)} to be made, which nobody gives it here: give them "
                f"defaults, or put a line such as net = {name}(...) into the file and name that, --model "
                f"{Path(self._file.path).name}:net"
            )
        try:
            return kind()
        except _ANYTHING as error:
            raise BuilderError(self._where(error)) from error

    def _checked(self, model: Any, params: Mapping[str, Value]) -> keras.Model:
        """Raises BuilderError unless it is a Keras model that takes these images and tells these classes apart."""
        import keras

        if not isinstance(model, keras.Model):
            raise BuilderError(
                f"{self._at_return(params)}: {self._file.name} returned {type(model).__name__}, not a keras.Model"
            )
        try:
            model = self._with_shapes(model)
        except _ANYTHING as error:
            raise BuilderError(self._where(error, self._at_return(params))) from error
        if wrong := self._wrong_input(model) or self._wrong_output(model):
            raise BuilderError(f"{self._at_return(params)}: {self._file.name} {wrong}")
        return model

    def _with_shapes(self, model: keras.Model) -> keras.Model:
        """The model, or one around it where it is a class with a `call` of its own and so without known shapes."""
        import keras

        if isinstance(model, keras.Sequential):
            if not model.built:
                model.build((None, *self._facts.shape))
            return model
        if hasattr(model, "inputs"):  # it is made of layers
            return model
        if type(model).train_step is not keras.Model.train_step:
            raise TypeError(
                f"{type(model).__name__} has a `train_step` and a `call` of its own: keep one of the two; a model "
                "with a `train_step` can be made of layers, super().__init__(inputs, outputs)"
            )
        inputs = keras.Input(self._facts.shape)
        around = keras.Model(inputs, model(inputs))
        if model.compiled:
            around.compile(model.optimizer, model.loss, run_eagerly=model.run_eagerly)
        return around

    def _wrong_output(self, model: keras.Model) -> str:
        shape = model.output_shape
        if not isinstance(shape, tuple) or len(shape) != 2:
            single = isinstance(shape, tuple) and all(side is None or isinstance(side, int) for side in shape)
            many = f"has an output of {' x '.join(map(str, shape[1:]))}" if single else "has several outputs"
            return f"{many}; it must have one, a number for each class: Flatten or GlobalAveragePooling2D, then Dense"
        units = int(shape[-1])
        if units == self._facts.classes or (units == 1 and self._facts.classes == 2):
            return ""
        or_one = " (or 1, for two classes)" if self._facts.classes == 2 else ""
        return (
            f"has {units} output units, but there are {self._facts.classes} classes: "
            f"the last layer needs {self._facts.classes}{or_one}"
        )

    def _wrong_input(self, model: keras.Model) -> str:
        shape = model.input_shape
        wanted = tuple(shape[1:]) if isinstance(shape, tuple) else ()
        ours = self._facts.shape
        grey_as_colour = ours[2] == 1 and wanted[-1:] == (3,)
        if len(wanted) == 3 and all(
            a in (None, b) for a, b in zip(wanted[: 2 if grey_as_colour else 3], ours, strict=False)
        ):
            return ""
        sides = " x ".join("any" if side is None else str(side) for side in wanted) or "several inputs"
        size = f"image_size = [{', '.join(map(str, wanted[:2]))}]"
        advice = f"`search init IMAGES`, then set {size} in its study.toml" if len(wanted) == 3 else ""
        return f"takes {sides}, but the images are {ours[0]} x {ours[1]} x {ours[2]}" + (
            f"; {advice}, or change its Input" if advice else "; it must take height x width x channels"
        )


def _hyperparameters(values: Mapping[str, Value]) -> keras_tuner.HyperParameters:
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return hp


def _first_line(error: BaseException) -> str:
    """What the error says, without the lines in which Keras says which layer it was calling."""
    lines = [line for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    own = (x for x in lines if not (x.startswith("Exception encountered when") or x.endswith("Error encountered:")))
    return next(own, lines[0] if lines else "")
