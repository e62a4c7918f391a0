"""The exported model: one Keras model from pixels, as the study read them, to class probabilities. For workers only.

Everything that training did around the network is in the model: scaling, three channels for grey images, the mirror
image, the standardisation of features, the head that scikit-learn fitted. It consists of Keras's own layers, so it
loads anywhere with `safe_mode`. Class names and image size are in a JSON file within the .keras file.

Every model within it is called with `training=False`, which is saved in the file: otherwise a layer that was called
with `training=True` would make all layers after it train in a plain `model(x)`.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from search.files import replacing
from search.jobs import ComposeJob, SavedModel
from search.manifest import ABOUT, OURS, STANDARDIZED, Remembered, remembered, write_remembered
from search.worker import keras_heads, outputs
from search.worker.heads import moments
from search.worker.keras_internals import all_layers, reset_names
from search.worker.merging import Merged
from spaces.backbones import IN_MEMORY, Backbone, pooled_maps
from spaces.facts import Facts
from spaces.messages import first_line
from spaces.parameters import Value
from spaces.presets import FrozenFeatures
from spaces.resizing import resized

if TYPE_CHECKING:
    from search.worker.outputs import Meaning
    from search.worker.pixel_range import PixelRange
    from search.worker.trainer import Trainer

AT_ONCE = 32 * 32  # images whose pixels are float32 at the same time; whole batches
BATCH = 32  # images a step when only predicting: the last one is filled up


def with_trained_weights(trainer: Trainer, network: keras.Model) -> keras.Model:
    """`network`, just built by a preset for the same point, with the weights by which the trained one is judged."""
    with trainer.judged_weights():
        network.set_weights(trainer.network.get_weights())
    return network


def keep_weights(trainer: Trainer, path: Path) -> None:
    """Write the weights by which a network is judged, so that `with_kept_weights` need not train. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with trainer.judged_weights(), replacing(path) as partial:
        np.savez(partial, *trainer.network.get_weights())


def with_kept_weights(network: keras.Model, path: Path) -> keras.Model:
    """`network`, just built, with the weights that `keep_weights` wrote. Raises ValueError or OSError."""
    with np.load(path, allow_pickle=False) as kept:
        network.set_weights([kept[f"arr_{number}"] for number in range(len(kept.files))])
    return network


def pixels_model(
    model: keras.Model, facts: Facts, pixels: PixelRange, meaning: Meaning, *, flip_average: bool
) -> keras.Model:
    """A network that learned from pixels, in the range `pixels`. `meaning`: of its output."""
    model.compiled = False  # else the file would contain our metrics, which Keras alone cannot load
    _name_for_exports(model)
    x = inputs = keras.Input(facts.shape, name="pixels")
    if pixels.largest == 1:
        x = keras.layers.Rescaling(pixels.factor)(x)
    if facts.channels == 1 and model.input_shape[-1] == 3:
        x = keras.layers.Concatenate()([x, x, x])
    output = model(x, training=False)
    if flip_average:
        output = keras.layers.Average()([output, model(ops.flip(x, axis=2), training=False)])
    return keras.Model(inputs, outputs.in_model(output, meaning))


def _name_for_exports(model: keras.Model) -> None:
    """Rename layers whose names do not begin with a letter or digit: TensorFlow accepts no such scope."""
    layers = [*all_layers(model)]
    taken = {layer.name for layer in layers}
    for layer in layers:
        if not layer.name[:1].isalnum():
            name = f"layer{layer.name}"
            while name in taken:
                name += "_"
            taken.add(name)
            layer.name = name


def features_model(
    frozen: FrozenFeatures, params: Mapping[str, Value], facts: Facts, features: NDArray[np.float32], head: Any
) -> keras.Model:
    """A backbone, what standardises its training `features` [images, width], and a head: a network, or a fitted one."""
    views = frozen.views(params, facts)
    backbone, side = views[0].backbone, views[0].side
    network = _network(backbone, None if backbone.any_side else side)  # for any side members of an ensemble share it
    reset_names()  # names in the file do not depend on what was built before
    x = inputs = keras.Input(facts.shape, name="pixels")
    if facts.channels == 1:
        x = keras.layers.Concatenate()([x, x, x])
    x = resized(x, side)
    first = -1 if frozen.columns(params, facts).start else 0  # of the maps that the head sees
    of_views = []
    for view in views:
        maps = network(ops.flip(x, axis=2) if view.mirrored else x, training=False)
        of_views.append(pooled_maps(maps[first:]))
    mean = keras.layers.Average()(of_views) if len(of_views) > 1 else of_views[0]
    x = keras_heads.standardize(*moments(features), mean)
    trained = isinstance(head, keras.Model)
    return keras.Model(inputs, head(x, training=False) if trained else keras_heads.fitted(head, facts.classes, x))


@lru_cache(maxsize=IN_MEMORY)
def _network(backbone: Backbone, side: int | None) -> keras.Model:
    """A backbone's network, that models of several heads are made with: building one takes seconds."""
    reset_names()  # those of its layers are then the same in every file: see `merging.py`
    return backbone.network(side)


def weighted_ensemble(models: Sequence[tuple[keras.Model, float]], facts: Facts) -> keras.Model:
    """The weighted mean of several models' probabilities; one alone is that model.

    Models of heads on one backbone share its weights, and those that show it the same view of an image its pass too.
    """
    if len(models) == 1:
        return models[0][0]
    inputs = keras.Input(facts.shape, name="pixels")
    merged = Merged(inputs)
    outputs = [(merged.add(model), weight) for model, weight in models]
    weighted = [merged.named(keras.layers.Rescaling(weight))(output) for output, weight in outputs]
    return keras.Model(inputs, merged.named(keras.layers.Add())(weighted))


def bare_network(model: keras.Model) -> keras.Model:
    """A custom model without its class, `train_step`, loss and optimizer.

    A class with its own `call` stays as it is.
    """
    computes = next(kind for kind in type(model).__mro__ if "call" in vars(kind))
    ours = computes.__module__.partition(".")[0] == "keras" and getattr(model, "outputs", None)
    return keras.Model(model.inputs[0], model.outputs[0]) if ours else model


def unsaveable_reason(model: keras.Model) -> str | None:
    """Why a file of this custom model would not load in Keras alone; None where it would.

    Keras writes such a file without a warning, and refuses to load it: the user's code is not in it.
    """
    foreign = _foreign_activations(model)
    try:
        waiting: list[Any] = [keras.saving.serialize_keras_object(model)]
    except (NotImplementedError, TypeError, ValueError) as error:  # no get_config, or one that cannot be written
        return f"it cannot be written to a file: {first_line(error)}"
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple):
            waiting += part
        if not isinstance(part, dict):
            continue
        kind, module = part.get("class_name"), part.get("module")
        if kind == "__lambda__":
            foreign.append("a lambda")
        elif kind == "function":
            foreign.append(str(part["config"]))
        elif isinstance(module, str) and module.partition(".")[0] not in ("builtins", "keras"):
            foreign.append(str(kind))
        waiting += part.values()
    if not foreign:
        return None
    names = sorted(set(foreign))
    return (
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not Keras's own, and a file that Keras alone loads "
        "has no code of yours in it; build that of keras.layers and their own activations and initializers"
    )


def _foreign_activations(model: keras.Model) -> list[str]:
    """What a configuration does not show: lambdas, and functions with the name of one of Keras's own."""
    held = [
        function
        for layer in all_layers(model)
        for name, function in vars(layer).items()
        if "activation" in name and callable(function)
    ]
    foreign = [
        function for function in held if str(function.__module__).partition(".")[0] not in ("keras", "tensorflow")
    ]
    names = [getattr(function, "__name__", type(function).__name__) for function in foreign]
    return ["a lambda" if name == "<lambda>" else name for name in names]


def standardizing(model: keras.Model) -> list[keras.Layer]:
    """The layers that standardise features: one for each model of them."""
    return [layer for layer in model.layers if layer.name.startswith(STANDARDIZED)]


def save(
    model: keras.Model,
    path: Path,
    about: Mapping[str, Any] | None = None,
    remembered: Remembered | None = None,
) -> None:
    """Write the model, completely or not at all, with `about` in the same archive. Raises OSError or ValueError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        model.save(partial)
        if about is None and remembered is None:
            return
        with zipfile.ZipFile(partial, "a") as archive:
            _describe(archive, about or {}, remembered)


def _describe(archive: zipfile.ZipFile, about: Mapping[str, Any], remembered: Remembered | None) -> None:
    more = {"remembered": remembered.plain} if remembered else {}
    archive.writestr(ABOUT, json.dumps({**about, **more}, indent=1))
    if remembered:
        write_remembered(archive, remembered)


def load(path: Path) -> keras.Model:
    """The model of a file. Nothing in the file can run code."""
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def compose(
    job: ComposeJob, pixels: NDArray[np.uint8], facts: Facts, at_hand: Mapping[Path, keras.Model] | None = None
) -> SavedModel:
    """See ComposeJob. What was saved is loaded again to predict: this tests the file.

    `at_hand`: parts that this process saved, which need not be loaded (seconds each). They must not be used afterwards.
    """
    started = time.perf_counter()
    if len(job.parts) == 1:
        _copy(job.parts[0][0], job.path, job.about)
    else:
        _combine(job, facts, at_hand or {})
    probabilities = _predicted(load(job.path), pixels, job.rows) if len(job.rows) else None
    return SavedModel(time.perf_counter() - started, probabilities)


def _predicted(model: keras.Model, pixels: NDArray[np.uint8], rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """`predict_pixels` of some images, piece by piece: all of them as float32 may be more than memory holds."""
    pieces = (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))
    return np.concatenate([predict_pixels(model, pixels[piece]) for piece in pieces])


def _copy(part: Path, path: Path, about: Mapping[str, Any]) -> None:
    """Save the model of a file again, with `about`. A large network takes seconds to load and save."""
    found = remembered(part)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, zipfile.ZipFile(part) as old, zipfile.ZipFile(partial, "w") as new:
        for entry in old.infolist():
            if entry.filename not in OURS:
                new.writestr(entry, old.read(entry))
        _describe(new, about, found)


def _combine(job: ComposeJob, facts: Facts, at_hand: Mapping[Path, keras.Model]) -> None:
    models = [at_hand[path] if path in at_hand else load(path) for path, _ in job.parts]
    weights = [weight for _, weight in job.parts]
    largest_first = sorted(zip(job.parts, models, strict=True), key=lambda part: -part[0][1])
    known = [(found, standardizing(model)) for (path, _), model in largest_first if (found := remembered(path))]
    known.sort(key=lambda part: part[0].outside is not None)  # the model itself can tell what its parts can
    whole = weighted_ensemble([*zip(models, weights, strict=True)], facts)
    save(whole, job.path, job.about, _within(whole, *known[0]) if known else None)


def _within(whole: keras.Model, found: Remembered, part: Sequence[keras.Layer]) -> Remembered:
    """What a part remembers, of the layer of the whole model that is the part's."""
    if found.outside:
        return found
    (own,) = (layer.get_weights() for layer in part)
    alike = (
        layer.name
        for layer in standardizing(whole)
        if all(np.array_equal(one, other) for one, other in zip(layer.get_weights(), own, strict=True))
    )
    return replace(found, layer=next(alike))


def predict_pixels(model: keras.Model, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[images, classes] of pixels [images, height, width, channels]."""
    missing = -len(pixels) % BATCH if len(pixels) > BATCH else 0  # a last batch of another size is traced for seconds
    whole = np.pad(pixels, ((0, missing), *((0, 0),) * 3))
    probabilities: NDArray[np.float32] = model.predict(whole.astype(np.float32), batch_size=BATCH, verbose=0)
    return probabilities[: len(pixels)]
