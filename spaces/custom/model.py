"""A custom model: `file.py:build`, with Keras Tuner's convention `build(hp) -> keras.Model`.

`hp` is Keras Tuner's own `HyperParameters`, so defaults and steps are the usual ones. The parameters that the
builder requests of it become a Space (`discovery.py`). For a point of that space, the builder runs again with an `hp`
that has its values.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from spaces.custom.discovery import Run, discovered, requested
from spaces.custom.errors import KERAS_2, BuilderError, TrainsWhenLoadedError, is_of_keras_2, reason, users_frames
from spaces.custom.file import ChangedError, ModelFile, Source
from spaces.custom.shapes import wrong_input, wrong_output
from spaces.facts import Facts
from spaces.parameters import SpaceError, Value
from spaces.space import Space

if TYPE_CHECKING:
    import keras
    import keras_tuner

_Function: TypeAlias = "Callable[[keras_tuner.HyperParameters], Any]"  # of the user

_ANYTHING = (Exception, SystemExit, KeyboardInterrupt)  # what a user's code may raise
DISCOVERY_SECONDS = 60.0  # after which discovery returns the parameters found so far
SLOW_LOADING = 2.0  # seconds above which a person is told how long the file takes to load
LOADING_SEED = 0  # of all random generators while the file is loaded, so that it makes the same weights each time


class OwnModel:
    """The user's builder. For workers only: it runs the user's code.

    What the file makes outside of its builder (a layer, an optimizer, a callback) would carry weights from one model to
    the next. So `reload` runs the file anew; a fold run begins with it.
    """

    def __init__(self, file: ModelFile, facts: Facts) -> None:
        """Raises BuilderError where the file changed, does not load, or has no such builder."""
        self._file, self._facts = file, facts
        self._loaded = 0  # times
        self._met: dict[
            int, tuple[weakref.ref[Any], int]
        ] = {}  # variables of models by id, with `_loaded` at that time
        try:
            self._source = Source(file)
        except ChangedError as error:
            raise BuilderError(str(error)) from error
        self.reload()

    @property
    def name(self) -> str:
        """Of the file and the builder in it."""
        return self._file.name

    def reload(self) -> None:
        """Run the file as it was when it was named, from its beginning. Sets all seeds to LOADING_SEED.

        Raises BuilderError where that fails.
        """
        import keras

        started = time.perf_counter()
        self._loaded += 1
        self._met = {key: met for key, met in self._met.items() if met[0]() is not None}
        keras.utils.set_random_seed(LOADING_SEED)
        try:
            with _training_refused():
                module = self._source.run()
        except _ANYTHING as error:
            raise BuilderError(self._where(error)) from error
        self._loading_seconds = time.perf_counter() - started
        self._builder, self._callbacks = self._builder_in(module), self._callbacks_in(module)

    @property
    def loading_note(self) -> str | None:
        """For a person, where the file took long to load the last time."""
        if self._loading_seconds < SLOW_LOADING:
            return None
        return (
            f"{Path(self._file.path).name} takes more than {SLOW_LOADING:.0f} s to load, and every fold loads it: put "
            'what the builder does not need under `if __name__ == "__main__":`'
        )

    def build(self, params: Mapping[str, Value]) -> keras.Model:
        """The model of one point, as the builder returned it. Raises BuilderError if that is no usable model."""
        return self._built(params)[1]

    def compiled(self, params: Mapping[str, Value]) -> tuple[keras.Model, list[keras.callbacks.Callback]]:
        """The model of one point with the user's optimizer and loss, or Adam and a cross-entropy where it has none.

        With it come the callbacks that `callbacks(hp)` of the same file returns, where there is such a function. For
        these the user's metrics are kept; without callbacks they are not computed, since no score depends on them.
        """
        import keras

        from spaces import compiling

        user, model, callbacks = self._built(params)
        optimizer = user.optimizer if user.compiled else keras.optimizers.Adam()
        loss = compiling.single(user.loss) if user.compiled else None
        metrics: list[Any] = []
        if callbacks and user.compiled:
            metrics += compiling.metrics_of(user, int(model.output_shape[-1]))
        if callbacks and not any(metric.name == "accuracy" for metric in metrics):
            metrics.append("accuracy")
        eager = user.compiled and user.run_eagerly
        model = compiling.compiled(model, self._facts.classes, optimizer, loss, metrics)
        model.run_eagerly = eager
        return model, callbacks

    def _built(self, params: Mapping[str, Value]) -> tuple[keras.Model, keras.Model, list[keras.callbacks.Callback]]:
        """(what the builder returned, the same or a model around it with known shapes, callbacks)."""
        hp, returned, callbacks = self._run(params)
        unknown = [name for name in requested(hp) if name not in params]
        if unknown:
            raise BuilderError(
                f"{self._file.name} asked for {', '.join(map(repr, unknown))} at this point only, and not when its "
                "parameters were discovered; ask for it in a hp.conditional_scope, or at every point"
            )
        return returned, self._checked(returned, params), callbacks

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
        """(what the builder returns, callbacks): both functions may request parameters."""
        import keras

        try:
            model = self._builder(hp)
            callbacks = self._callbacks(hp) if self._callbacks else []
        except _ANYTHING as error:
            raise BuilderError(self._where(error)) from error
        file = Path(self._file.path).name
        if not isinstance(callbacks, list) or not all(isinstance(c, keras.callbacks.Callback) for c in callbacks):
            raise BuilderError(f"callbacks(hp) in {file} must return a list of keras callbacks")
        if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
            raise BuilderError(
                f"callbacks(hp) in {file}: BackupAndRestore would begin a fold with the weights of another one; remove "
                "it: `search resume` continues a study"
            )
        return model, callbacks

    def _where(self, error: BaseException, otherwise: str = "") -> str:
        """The error with the last line of the user's code: 'net.py, line 12: ValueError: …', or `otherwise`."""
        path = Path(self._file.path)
        frames = users_frames(error, path.parent)
        place = frames[-1].place if frames else otherwise or path.name
        if isinstance(error, TrainsWhenLoadedError):
            line = f"line {frames[-1].line}: " if frames else ""
            return (
                f"{frames[-1].file if frames else path.name} trains when it is loaded ({line}{error.call}), and every "
                'fold loads it: put that under `if __name__ == "__main__":`'
            )
        return f"{place}: {reason(error, frames[-1].text if frames else '', path)}"

    def _at_return(self, params: Mapping[str, Value]) -> str:
        """Where the builder returns its model at this point: 'net.py, line 20'. It is run once more, and observed."""
        lines: list[str] = []

        def observe(frame: FrameType, event: str, _: Any) -> None:
            file = Path(frame.f_code.co_filename)
            if event == "return" and file.parent == Path(self._file.path).parent:
                lines.append(f"{file.name}, line {frame.f_lineno}")

        before = sys.getprofile()
        sys.setprofile(observe)
        try:
            with contextlib.suppress(Exception):
                self._builder(_hyperparameters(params))
        finally:
            sys.setprofile(before)
        return lines[-1] if lines else self._file.name  # the builder is the last function of the user to return

    def _callbacks_in(self, module: ModuleType) -> _Function | None:
        callbacks: Any = getattr(module, "callbacks", None)
        if isinstance(callbacks, list | tuple):
            raise BuilderError(
                f"callbacks in {Path(self._file.path).name} is a list, but it must be made for each fold: "
                "make it a function, def callbacks(hp), that returns the list"
            )
        return callbacks if isinstance(callbacks, FunctionType) else None  # not Keras's module of that name

    def _builder_in(self, module: ModuleType) -> _Function:
        import keras_tuner

        builder: Any = getattr(module, self._file.function, None)
        if isinstance(builder, type) and issubclass(builder, keras_tuner.HyperModel):
            builder = self._instance(builder)
        if isinstance(builder, keras_tuner.HyperModel):
            if getattr(type(builder), "fit", None) is not keras_tuner.HyperModel.fit:
                raise BuilderError(
                    f"{self._file.name} has its own `fit`, which cannot be used: every trial is trained on folds "
                    "that are drawn here. Remove `fit`, and declare batch_size and epochs with hp in `build`"
                )
            builder = builder.build
        if not callable(builder):
            names = sorted(n for n, value in vars(module).items() if callable(value) and not n.startswith("_"))
            raise BuilderError(f"{self._file.name}: no function or HyperModel of this name; there: {', '.join(names)}")
        function: _Function = builder
        return function

    def _instance(self, kind: type[keras_tuner.HyperModel]) -> keras_tuner.HyperModel:
        needed = [
            p.name
            for p in inspect.signature(kind).parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if needed:
            name = kind.__name__
            raise BuilderError(
                f"{self._file.name} needs the arguments {', '.join(needed)}, which are not known here: give them "
                f"defaults, or put a line such as net = {name}(...) into the file and name that, --model "
                f"{Path(self._file.path).name}:net"
            )
        try:
            return kind()
        except _ANYTHING as error:
            raise BuilderError(self._where(error)) from error

    def _checked(self, model: Any, params: Mapping[str, Value]) -> keras.Model:
        """Raises BuilderError unless it is a Keras model whose input fits the images and whose output the classes."""
        import keras

        if not isinstance(model, keras.Model):
            problem = f"returned {type(model).__name__}, not a keras.Model"
            if is_of_keras_2(type(model)):
                problem = f"returned a model of tf_keras: {KERAS_2}"
            raise BuilderError(f"{self._at_return(params)}: {self._file.name} {problem}")
        try:
            model = self._with_shapes(model)
        except _ANYTHING as error:
            raise BuilderError(self._where(error, self._at_return(params))) from error
        if kept := self._kept(model):
            raise BuilderError(
                f"{self._at_return(params)}: {self._file.name} uses {kept} made outside of it, in a module that is not "
                "loaded anew, so all folds would share what is learned: make it in the builder"
            )
        if problem := wrong_input(model.input_shape, self._facts) or wrong_output(model.output_shape, self._facts):
            raise BuilderError(f"{self._at_return(params)}: {self._file.name} {problem}")
        return model

    def _kept(self, model: keras.Model) -> str:
        """What the model shares with one that was built before the file was loaded anew; '' where there is nothing.

        Files beside it are loaded anew too; modules of a package, or found through a changed sys.path, are not.
        """
        optimizer = model.optimizer.variables if model.compiled and model.optimizer is not None else []
        for what, variables in (("the weights {}", model.variables), ("an optimizer with {}", optimizer)):
            for variable in variables:
                met = self._met.setdefault(id(variable), (weakref.ref(variable), self._loaded))
                if met[0]() is not variable:  # the id of one that is gone
                    self._met[id(variable)] = weakref.ref(variable), self._loaded
                elif met[1] != self._loaded:
                    return what.format(getattr(variable, "path", ""))
        return ""

    def _with_shapes(self, model: keras.Model) -> keras.Model:
        """The model, or one around it: where it has its own `call`, and where its output is a list or dict of one."""
        import keras

        if isinstance(model, keras.Sequential):
            if not model.built:
                model.build((None, *self._facts.shape))
            return model
        own_step = type(model).train_step is not keras.Model.train_step
        if hasattr(model, "inputs"):  # it is made of layers
            plain = not isinstance(model.output, list | tuple | dict) and not isinstance(model.input, dict)
            if plain or own_step or not len(model.inputs) == len(model.outputs) == 1:
                return model
            around = keras.Model(model.inputs[0], model.outputs[0])
        elif own_step:
            raise TypeError(
                f"{type(model).__name__} has its own `train_step` and its own `call`: keep one of the two; a model "
                "with a `train_step` can be made of layers, super().__init__(inputs, outputs)"
            )
        else:
            inputs = keras.Input(self._facts.shape)
            around = keras.Model(inputs, model(inputs))
        if model.compiled:
            from spaces import compiling

            around.compile(model.optimizer, compiling.single(model.loss), run_eagerly=model.run_eagerly)
        return around


@contextlib.contextmanager
def _training_refused() -> Iterator[None]:
    """Within, training a Keras model and `search` of a Keras Tuner raise TrainsWhenLoadedError."""
    import keras
    import keras_tuner

    def refused(call: str) -> Callable[..., Any]:
        def refuse(*_: Any, **__: Any) -> Any:
            raise TrainsWhenLoadedError(call)

        return refuse

    places = (
        (keras.Model, "fit", "model.fit"),
        (keras.Model, "train_on_batch", "model.train_on_batch"),
        (keras_tuner.Tuner, "search", "tuner.search"),
    )
    before = [vars(owner).get(name) for owner, name, _ in places]
    for owner, name, call in places:
        setattr(owner, name, refused(call))
    try:
        yield
    finally:
        for (owner, name, _), function in zip(places, before, strict=True):
            if function is None:  # it is inherited
                delattr(owner, name)
            else:
                setattr(owner, name, function)


def _hyperparameters(values: Mapping[str, Value]) -> keras_tuner.HyperParameters:
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return hp
