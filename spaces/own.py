"""A model of the user's own: `file.py:build`, with Keras Tuner's convention `build(hp) -> keras.Model`.

`hp` is Keras Tuner's own `HyperParameters`, so its defaults and steps are what people know. What it records while the
builder runs becomes a Space; a point of that space is given back to it, and the builder runs again.

The file is the user's code and runs with the user's rights. It is loaded only where it was named on the command line,
by its path, never by a name on `sys.path`, and only while its bytes are those that were named.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from spaces.facts import Facts
from spaces.parameters import Choice, Number, Parameter, SpaceError, Value, When
from spaces.space import Space

if TYPE_CHECKING:
    import keras
    import keras_tuner

_Asked: TypeAlias = "Callable[[keras_tuner.HyperParameters], Any]"  # a function of the user's

MOST_VALUES = 64  # of one parameter, that the walk tries
RANDOM_POINTS = 12  # that the walk tries after the single changes, for parameters that need two


class BuilderError(Exception):
    """The user's builder failed or gave no usable model. The message names the user's own line."""


@dataclass(frozen=True)
class ModelFile:
    """A builder: a Python file, the name of a function or HyperModel class in it, and what the file held."""

    path: str  # absolute
    function: str
    sha256: str  # hex, of the file's bytes

    @property
    def name(self) -> str:
        """As people name it."""
        return f"{Path(self.path).name}:{self.function}"


def named(text: str) -> ModelFile:
    """The builder that 'file.py:build' names. Raises SpaceError where there is no such file or no name."""
    file, _, function = text.rpartition(":")
    if not file or not function.isidentifier():
        raise SpaceError(f"--model: must be FILE.py:FUNCTION, such as net.py:build, got {text!r}")
    path = Path(file)
    if not path.is_file():
        raise SpaceError(f"--model: {file} is not a file; give the path of the Python file that has {function}")
    return ModelFile(str(path.resolve()), function, hashlib.sha256(path.read_bytes()).hexdigest())


class OwnModel:
    """The user's builder, loaded. For workers only: it runs the user's code."""

    def __init__(self, file: ModelFile, facts: Facts) -> None:
        """Raises BuilderError where the file changed, does not load, or has no such builder."""
        self._file, self._facts = file, facts
        self._builder, self._callbacks = self._load()

    @property
    def name(self) -> str:
        """Of the file and the builder in it."""
        return self._file.name

    def build(self, params: Mapping[str, Value]) -> keras.Model:
        """The model of one point, as the user made it. Raises BuilderError for anything else than a model."""
        return self._built(params)[0]

    def compiled(self, params: Mapping[str, Value]) -> tuple[keras.Model, list[keras.callbacks.Callback]]:
        """The model of one point with the user's optimizer and loss, or Adam and a cross-entropy where it has none.

        The user's metrics give way to those that every trial is judged by. With it come the callbacks that
        `callbacks(hp)` of the same file returns, where there is such a function.
        """
        import keras

        from spaces.presets import parts

        model, callbacks = self._built(params)
        optimizer = model.optimizer if model.compiled else keras.optimizers.Adam()
        eager, loss = model.compiled and model.run_eagerly, model.loss if model.compiled else None
        metrics = ["accuracy"] if callbacks else []  # EarlyStopping looks there for what is better, more or less of it
        model = parts.compiled(model, self._facts.classes, optimizer, loss, metrics)
        model.run_eagerly = eager
        return model, callbacks

    def _built(self, params: Mapping[str, Value]) -> tuple[keras.Model, list[keras.callbacks.Callback]]:
        hp, model, callbacks = self._run(params)
        unknown = [name for name in _met(hp) if name not in params]
        if unknown:
            raise BuilderError(
                f"{self._file.name} asked for {', '.join(map(repr, unknown))} at this point only, which the walk "
                "through its parameters did not meet; ask for it in a hp.conditional_scope, or at every point"
            )
        return self._checked(model), callbacks

    def discover(self) -> Space:
        """The space, by running the builder: at its defaults, at every value of every parameter, and at random.

        A parameter that is met only at some values of another is under that condition. Raises BuilderError where
        the builder fails at its own defaults; elsewhere a failure tells nothing more of the space.
        """
        hp, model, _ = self._run({})
        self._checked(model)
        walk = _Walk(self._met_at)
        walk.take(hp, {})
        walk.every_value()
        rng = np.random.default_rng(0)
        for _ in range(RANDOM_POINTS):
            walk.visit(walk.space().sample(rng))
        walk.every_value()
        return walk.space()

    def _met_at(self, values: Mapping[str, Value]) -> keras_tuner.HyperParameters:
        """What the builder asked for at these values, even if it failed after that."""
        hp = _hyperparameters(values)
        with contextlib.suppress(BuilderError):
            self._call(hp)
        return hp

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
        except Exception as error:  # whatever the user's code raises
            raise BuilderError(self._where(error)) from error
        if not isinstance(callbacks, list) or not all(isinstance(c, keras.callbacks.Callback) for c in callbacks):
            raise BuilderError(f"callbacks(hp) in {Path(self._file.path).name} must return a list of keras callbacks")
        return model, callbacks

    def _where(self, error: BaseException) -> str:
        """The error with the user's own last line: 'net.py, line 12: ValueError: …'."""
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self._file.path
        ]
        if isinstance(error, SyntaxError) and error.filename == self._file.path:
            lines = [error.lineno]
        where = f", line {lines[-1]}" if lines else ""
        message = str(error).strip().splitlines() or [""]
        return f"{Path(self._file.path).name}{where}: {type(error).__name__}: {message[0][:300]}"

    def _load(self) -> tuple[_Asked, _Asked | None]:
        """(the builder, the function `callbacks` where the file has one)."""
        path = Path(self._file.path)
        try:
            source = path.read_bytes()
        except OSError as error:
            raise BuilderError(f"{path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(source).hexdigest() != self._file.sha256:
            raise BuilderError(f"{path} changed since the search began; start the search again")
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the user named this file to be run
        except Exception as error:  # whatever the user's code raises
            raise BuilderError(self._where(error)) from error
        return self._builder_in(module), self._callbacks_in(module)

    def _callbacks_in(self, module: ModuleType) -> _Asked | None:
        found: Any = getattr(module, "callbacks", None)
        if isinstance(found, list | tuple):
            raise BuilderError(
                f"callbacks in {Path(self._file.path).name} is a list, but every fold needs callbacks of its own: "
                "make it a function, def callbacks(hp), that returns the list"
            )
        return found if isinstance(found, FunctionType) else None  # not Keras's module of that name

    def _builder_in(self, module: ModuleType) -> _Asked:
        import keras_tuner

        found: Any = getattr(module, self._file.function, None)
        if isinstance(found, type) and issubclass(found, keras_tuner.HyperModel):
            if getattr(found, "fit", None) is not keras_tuner.HyperModel.fit:
                raise BuilderError(
                    f"{self._file.name} has a `fit` of its own, which cannot be used: every trial is trained on folds "
                    "that are drawn here. Remove `fit`, and declare batch_size and epochs with hp in `build`"
                )
            try:
                found = found().build
            except Exception as error:  # whatever the user's code raises
                raise BuilderError(self._where(error)) from error
        if not callable(found):
            names = sorted(n for n, value in vars(module).items() if callable(value) and not n.startswith("_"))
            raise BuilderError(f"{self._file.name}: no function or HyperModel of this name; there: {', '.join(names)}")
        builder: _Asked = found
        return builder

    def _checked(self, model: Any) -> keras.Model:
        """Raises BuilderError unless it is a Keras model that takes these images and tells these classes apart."""
        import keras

        if not isinstance(model, keras.Model):
            raise BuilderError(f"{self._file.name} returned {type(model).__name__}, not a keras.Model")
        if not model.built:
            try:
                model.build((None, *self._facts.shape))
            except Exception as error:  # whatever the user's layers raise
                raise BuilderError(self._where(error)) from error
        self._check_input(model)
        units = int(model.output_shape[-1]) if isinstance(model.output_shape, tuple) else -1
        if units != self._facts.classes and not (units == 1 and self._facts.classes == 2):
            one = " (or 1, for two classes)" if self._facts.classes == 2 else ""
            raise BuilderError(
                f"{self._file.name} has {units} output units, but there are {self._facts.classes} classes: "
                f"the last layer needs {self._facts.classes}{one}"
            )
        return model

    def _check_input(self, model: keras.Model) -> None:
        shape = model.input_shape
        wanted = tuple(shape[1:]) if isinstance(shape, tuple) else ()
        ours = self._facts.shape
        grey_as_colour = ours[2] == 1 and wanted[-1:] == (3,)
        fits = len(wanted) == 3 and all(
            a in (None, b) for a, b in zip(wanted[: 2 if grey_as_colour else 3], ours, strict=False)
        )
        if not fits:
            said = " x ".join("any" if side is None else str(side) for side in wanted) or "several inputs"
            advice = f"set image_size = [{wanted[0]}, {wanted[1]}] in study.toml" if len(wanted) == 3 else ""
            raise BuilderError(
                f"{self._file.name} takes {said}, but the images are {ours[0]} x {ours[1]} x {ours[2]}"
                + (f"; {advice}, or change its Input" if advice else "; it must take height x width x channels")
            )


def _hyperparameters(values: Mapping[str, Value]) -> keras_tuner.HyperParameters:
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return hp


def _met(hp: keras_tuner.HyperParameters) -> list[str]:
    """Names of the parameters that were asked for and are active, in the order of the first asking."""
    return list(dict.fromkeys(p.name for p in hp.space if hp.is_active(p)))


class _Walk:
    """What was met where, and the space that follows from it."""

    def __init__(self, met_at: Callable[[Mapping[str, Value]], keras_tuner.HyperParameters]) -> None:
        self._met_at = met_at
        self._parameters: dict[str, Parameter] = {}
        self._contexts: dict[str, dict[str, Value]] = {}  # a point at which the parameter is active
        self._seen: dict[tuple[tuple[str, Value], ...], frozenset[str]] = {}  # point -> what was met there

    def take(self, hp: keras_tuner.HyperParameters, values: Mapping[str, Value]) -> None:
        """Note what was met at a point, and keep the order in which parameters are asked for."""
        met = _met(hp)
        point = {name: hp.values[name] for name in met}
        self._seen[_key(point)] = self._seen[_key(values)] = frozenset(met)
        previous = ""
        for name in met:
            if name not in self._parameters:
                parameter = _parameter(next(p for p in hp.space if p.name == name and hp.is_active(p)))
                self._insert(parameter, previous)
                self._contexts[name] = point
            previous = name

    def visit(self, values: Mapping[str, Value]) -> None:
        """Run the builder at these values, once."""
        if _key(values) not in self._seen:
            self.take(self._met_at(values), values)

    def every_value(self) -> None:
        """Where each parameter is active, change each one of its point to each of its values; go on while that meets
        new ones. Parameters that are met at the same point share those visits."""
        done: set[str] = set()
        while pending := [name for name in self._parameters if name not in done]:
            for name in pending:
                done.add(name)
                for parent in self._contexts[name]:
                    for value in _values(self._parameters[parent]):
                        self.visit({**self._contexts[name], parent: value})

    def space(self) -> Space:
        """The parameters so far, each under the conditions that what was met bears out."""
        names = list(self._parameters)
        return Space(
            tuple(
                replace(self._parameters[name], when=tuple(self._conditions(name, names[:index])))
                for index, name in enumerate(names)
            )
        )

    def _insert(self, parameter: Parameter, previous: str) -> None:
        items = list(self._parameters.items())
        place = 1 + next((i for i, (name, _) in enumerate(items) if name == previous), -1)
        self._parameters = dict([*items[:place], (parameter.name, parameter), *items[place:]])

    def _conditions(self, name: str, before: Sequence[str]) -> Iterable[When]:
        """Conditions on earlier parameters: those whose change alone, where `name` is active, makes it vanish."""
        for parent in before:
            values = _values(self._parameters[parent])
            if len(values) < 2 or parent not in self._contexts[name]:
                continue
            met = [name in self._seen.get(_key({**self._contexts[name], parent: v}), {name}) for v in values]
            if all(met):
                continue
            active = tuple(itertools.compress(values, met))
            first = values.index(active[0])
            if isinstance(self._parameters[parent], Number) and all(met[first:]):
                yield When(parent, at_least=float(active[0]))
            else:
                yield When(parent, one_of=active)


def _key(values: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted((name, value) for name, value in values.items()))


def _values(parameter: Parameter) -> list[Value]:
    """The values that the walk tries: all, or of a long range its ends and middle."""
    if isinstance(parameter, Choice):
        return list(parameter.values)
    step = parameter.step if parameter.step is not None else (1 if parameter.integer else None)
    if step is not None and not parameter.log and (parameter.high - parameter.low) / step < MOST_VALUES:
        count = int((parameter.high - parameter.low) / step + 1e-9) + 1
        values = [parameter.nearest_value(parameter.low + i * step) for i in range(count)]
    else:
        middle = (parameter.low * parameter.high) ** 0.5 if parameter.log else (parameter.low + parameter.high) / 2
        values = [parameter.low, parameter.nearest_value(middle), parameter.high]
    return [int(v) if parameter.integer else float(v) for v in values]


def _parameter(met: Any) -> Parameter:
    """A parameter of Keras Tuner's as one of ours.

    Logarithmic sampling with a step multiplies, so its few values become a choice. 'reverse_log' has no match and is
    searched linearly. Where Keras Tuner's default is off its own steps, it is kept as one more value of a choice.
    """
    kind, name = type(met).__name__, met.name
    if kind in ("Choice", "Boolean", "Fixed"):
        several = {"Choice": getattr(met, "values", ()), "Boolean": (False, True), "Fixed": (met.default,)}
        return Choice(name, tuple(several[kind]), met.default)
    log = met.sampling == "log"
    integer = kind == "Int"
    if log and met.step is not None:
        powers = [met.min_value * met.step**i for i in range(1000) if met.min_value * met.step**i <= met.max_value]
        return _choice_with(name, powers, met.default)
    step = None if log else (met.step or (1 if integer else None))
    try:
        return Number(name, met.min_value, met.max_value, met.default, integer=integer, log=log, step=step)
    except SpaceError:
        count = int((met.max_value - met.min_value) / (step or 1) + 1e-9) + 1
        if count > MOST_VALUES:
            raise
        return _choice_with(name, [met.min_value + i * (step or 1) for i in range(count)], met.default)


def _choice_with(name: str, values: Sequence[Value], default: Value) -> Choice:
    return Choice(name, tuple(values) if default in values else (*values, default), default)
