"""The winner's trials as code: each one's network, and the function that trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.export.code.network import expression, lines_of
from spaces.custom.errors import BuilderError
from spaces.custom.file import ModelFile
from spaces.facts import Facts
from spaces.parameters import Value
from spaces.presets import Preset
from spaces.presets.frozen import columns
from spaces.recipe import EMA_EPOCHS, PLATEAU_EPOCHS, Recipe, own_recipe


@dataclass(frozen=True)
class Part:
    """One trained network or head of the winner."""

    trial: int
    weight: float
    left_out: int | None  # the fold without whose images it is trained; None: on all


@dataclass(frozen=True)
class Point:
    """A trial of the winner, as it is to be trained again."""

    trial: int
    family: Preset | None  # None: of the user's own model
    params: Mapping[str, Value]  # as the family knows them
    epochs: int
    factors: tuple[float, ...]  # of the learning rate in each epoch, under 'plateau'
    told: str  # how it did in the search, in one sentence


@dataclass(frozen=True)
class Winner:
    """What the script trains."""

    name: str  # of the pictures
    classes: tuple[str, ...]
    facts: Facts
    images: int  # all of the study, of which an average over weights takes its horizon
    seed: int
    points: tuple[Point, ...]
    parts: tuple[Part, ...]
    own: ModelFile | None = None  # the user's own model, which was named on the command line


def copy_of(own: ModelFile, stem: str) -> str:
    """The name of the copy of the user's file beside a script with this stem: 'train_net.py' of 'net.py'."""
    return f"{stem}_{Path(own.path).name}"


def code_of(winner: Winner, point: Point, stem: str, backbone: tuple[str, str] | None) -> str:
    """The function `train_N` of trial N, and what it needs.

    `stem`: of the script's name. `backbone`: (name of a file beside the script, SHA-256). Raises UsageError.
    """
    if point.family is None:
        return _of_own_model(winner, point, stem)
    if point.family.frozen is None:
        return _of_pixels(winner, point, point.family)
    assert backbone is not None  # noqa: S101 - `write` has put it beside the script
    if point.family.frozen.heads is None:
        return _of_fine_tuning(winner, point, point.family, backbone)
    return _of_features(winner, point, point.family, backbone)


def _of_pixels(winner: Winner, point: Point, family: Preset) -> str:
    number, recipe = point.trial, family.recipe(point.params, winner.facts)
    network = family.network(point.params, winner.facts)
    return f"""{_function(f"build_{number}()", f"The network of trial {number}.", lines_of(network.get_config()))}


{_augmentation(number, recipe)}def train_{number}(x: Any, y: Any) -> Any:
    \"\"\"Trial {number}, trained on pixels [pictures, height, width, channels] and class numbers.\"\"\"
    keras.utils.set_random_seed(SEED)
    network = build_{number}()
{_compiled(winner, point, family, network)}
    {_fit(point, recipe, "network", "x")}
    return from_pixels(network, mirror={recipe.flip_average})"""


def _of_features(winner: Winner, point: Point, family: Preset, backbone: tuple[str, str]) -> str:
    number, params = point.trial, point.params
    last = columns(params, winner.facts).start > 0
    balanced = params.get("class_weights") == "balanced"
    seen = (
        f"    seen = features_of(load_backbone(HERE / {backbone[0]!r}, {backbone[1]!r}), "
        f"side={int(params['input_size'])}, last={last}, mirror={bool(params.get('flip_average'))})\n"
    )
    about = f'    """Trial {number}: a head on the features of a pre-trained network, which stays as it is."""\n'
    begin = f"def train_{number}(x: Any, y: Any) -> Any:\n{about}    keras.utils.set_random_seed(SEED)\n{seen}"
    features = "    features, mean, deviation = standardized(seen.predict(x, batch_size=64, verbose=0))\n"
    if params["head"] == "svm":
        machine = f"c={float(params['svm_c'])!r}, gamma={float(params['gamma'])!r}, balanced={balanced}"
        return f"{begin}    return SupportVectors(seen, x, y, {machine})"
    if params["head"] == "logistic":
        weights = f"logistic_regression(features, y, c={float(params['c'])!r}, balanced={balanced})"
        return f"{begin}{features}    head = linear(*{weights})\n    return with_head(seen, mean, deviation, head)"
    network = family.network(params, winner.facts)
    recipe = family.recipe(params, winner.facts)
    made = _function(f"head_{number}()", f"The head of trial {number}, on features.", lines_of(network.get_config()))
    return f"""{made}


{begin}{features}    network = head_{number}()
{_compiled(winner, point, family, network)}
    {_fit(point, recipe, "network", "features")}
    return with_head(seen, mean, deviation, network)"""


def _of_fine_tuning(winner: Winner, point: Point, family: Preset, backbone: tuple[str, str]) -> str:
    number, params, facts = point.trial, point.params, winner.facts
    recipe, network = family.recipe(params, facts), family.network(params, facts)
    side, last = int(params["input_size"]), params["stages"] != "all"
    lines = [
        f"inputs = keras.Input({(facts.height, facts.width, facts.channels)})",
        f"maps = backbone(enlarged(inputs, {side}))",
        f"x = pooled(maps, last={last})",
        f"x = keras.layers.Dropout({float(params['dropout'])!r})(x)",
        f'outputs = keras.layers.Dense({facts.classes}, activation="softmax", name="output")(x)',
        "return keras.Model(inputs, outputs)",
    ]
    balanced = params.get("class_weights") == "balanced"
    about = f"The network of trial {number}; the file of the backbone says which of its layers are trained."
    return f"""{_function(f"build_{number}(backbone: Any)", about, lines)}


{_augmentation(number, recipe)}def train_{number}(x: Any, y: Any) -> Any:
    \"\"\"Trial {number}: first a head on the features of a pre-trained network as it is, then both together.\"\"\"
    keras.utils.set_random_seed(SEED)
    backbone = load_backbone(HERE / {backbone[0]!r}, {backbone[1]!r})
    network = build_{number}(backbone)
    features = features_of(backbone, side={side}, last={last}).predict(x, batch_size=64, verbose=0)
    begin_with_regression(network, features, y, c={float(params["c"])!r}, balanced={balanced})
{_compiled(winner, point, family, network)}
    {_fit(point, recipe, "network", "x")}
    return from_pixels(network, mirror={recipe.flip_average})"""


def _function(signature: str, about: str, lines: Sequence[str]) -> str:
    name = signature.partition("(")[0]
    inside = signature.partition("(")[2].rstrip(")")
    body = "\n".join(f"    {line}" for line in lines)
    return f'def {name}({inside}) -> Any:\n    """{about}"""\n{body}'


def _augmentation(number: int, recipe: Recipe) -> str:
    """The layers that change training images, and the function that applies them; empty without any."""
    from search.worker.augmentation import Augmentation

    if recipe.augmentation == "none":
        return ""
    layers, mix = Augmentation(recipe).parts
    listed = "".join(f"    {expression(_described(layer))},\n" for layer in layers)
    text = f"CHANGES_{number} = [\n{listed}]\n"
    applied = f"    for change in CHANGES_{number}:\n        images = change(images, training=True)\n"
    answer = "    return images, wanted"
    if mix is not None:
        text += f"MIX_{number} = {expression(_described(mix))}\n"
        answer = (
            f'    mixed = MIX_{number}({{"images": images, "labels": wanted}}, training=True)\n'
            '    return mixed["images"], mixed["labels"]'
        )
    about = f'    """Change a batch of training images at random, as trial {number} did."""\n'
    return f"{text}\n\ndef augment_{number}(images: Any, wanted: Any) -> Any:\n{about}{applied}{answer}\n\n\n"


def _described(thing: Any) -> Any:
    import keras

    return keras.saving.serialize_keras_object(thing)


def _compiled(winner: Winner, point: Point, family: Preset, network: Any) -> str:
    from spaces.presets.parts import cross_entropy

    optimizer, recipe = family.optimizer(point.params), family.recipe(point.params, winner.facts)
    if recipe.averaged:
        steps = recipe.steps or -(-winner.images // recipe.batch_size)
        optimizer.use_ema, optimizer.ema_momentum = True, 1 - 1 / (EMA_EPOCHS * steps)
    loss = cross_entropy(network.output_shape[-1], float(point.params.get("label_smoothing", 0.0)))
    made = expression(_described(optimizer))
    return f"    network.compile(\n        optimizer={made},\n        loss={expression(_described(loss))},\n    )"


def _fit(point: Point, recipe: Recipe, network: str, data: str) -> str:
    options = [f"epochs={point.epochs}", f"batch_size={recipe.batch_size}"]
    if recipe.steps:
        options.append(f"steps={recipe.steps}")
    if recipe.augmentation != "none" and data == "x":
        options.append(f"augment=augment_{point.trial}")
    if recipe.schedule == "cosine":
        options.append("factor=lambda epoch, step, steps: cosine(step, steps)")
    elif recipe.schedule == "plateau" and point.epochs > PLATEAU_EPOCHS:
        factors = [*point.factors, *[point.factors[-1]] * point.epochs][: point.epochs]
        options.append(f"factor=lambda epoch, step, steps: {factors!r}[epoch]")
    if recipe.balanced:
        options.append("balanced=True")
    return f"fit({network}, {data}, y, {', '.join(options)})"


def _of_own_model(winner: Winner, point: Point, stem: str) -> str:
    """A trial of the user's own builder, which is run here: what its pixels and outputs mean is found by its model."""
    from search.worker.outputs import Meaning, output_of
    from search.worker.pixel_range import pixel_range
    from spaces import compiling
    from spaces.custom.model import OwnModel

    assert winner.own is not None  # noqa: S101 - its points have no family
    try:
        network, callbacks = OwnModel(winner.own, winner.facts).compiled(point.params)
    except BuilderError as error:
        raise UsageError(f"--model: {error}") from None
    meaning, pixels = output_of(network).meaning, pixel_range(network)
    if meaning not in (Meaning.PROBABILITIES, Meaning.LOGITS) or network.input_shape[-1] != winner.facts.channels:
        raise UsageError(
            f"--to: {winner.own.name} has outputs that are {meaning.value}, or takes another number of colours than "
            "the pictures have, which the search adapts and plain code does not; export a .keras file"
        )
    recipe, number = own_recipe(point.params, winner.facts), point.trial
    scale = {255: "", 1: "scale=1 / 255"}[pixels.largest]
    more = [part for part in (scale, "numbers=True" if compiling.takes_indices(network.loss) else "") if part]
    more += ["callbacks=module.callbacks(hp)"] if callbacks else []
    answer = [part for part in (scale, "logits=True" if meaning is Meaning.LOGITS else "") if part]
    fit = _fit(point, recipe, "network", "x").removesuffix(")")
    return f"""{_augmentation(number, recipe)}def train_{number}(x: Any, y: Any) -> Any:
    \"\"\"Trial {number}: the model of your own builder, with the winner's values.\"\"\"
    keras.utils.set_random_seed(SEED)
    module = load_own(HERE / {copy_of(winner.own, stem)!r})
    hp = Values({dict(point.params)!r})
    network = build_own(module, {winner.own.function!r}, hp)
    {", ".join([fit, *more])})
    return from_pixels({", ".join(["network", *answer])})"""
