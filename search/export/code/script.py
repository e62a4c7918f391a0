"""A script that builds and trains the winner, from the same pictures, in plain Keras.

Beside it lie a table of the pictures with their classes and folds, and the pre-trained networks that the winner begins
with. What is the same in every script is copied from `plain.py`; networks are written layer by layer.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.export.code.network import expression, lines_of
from search.files import replacing
from spaces.facts import Facts
from spaces.parameters import Value
from spaces.presets import Preset
from spaces.presets.frozen import columns
from spaces.recipe import EMA_EPOCHS, PLATEAU_EPOCHS, Recipe

_PLAIN = Path(__file__).with_name("plain.py")
_ALWAYS = ("read_picture", "read_table", "from_pixels", "mean_of", "report", "save")


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
    family: Preset
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


def write(winner: Winner, path: Path, table: str) -> list[Path]:
    """Write the script to `path`, with its `table` and pre-trained networks beside it. Returns all files.

    Raises OSError, and UsageError for what has no such code.
    """
    written = []
    backbones: dict[int, tuple[str, str]] = {}
    for point in winner.points:
        if point.family.frozen:
            beside = path.with_name(f"{path.stem}.{point.trial}.keras")
            backbones[point.trial] = beside.name, _write_backbone(point, winner.facts, beside)
            written.append(beside)
    text = render(winner, path.stem, backbones)
    csv = path.with_suffix(".csv")
    for file, content in ((csv, table), (path, text)):
        with replacing(file) as partial:
            partial.write_text(content, encoding="utf-8", newline="")
    return [path, csv, *written]


def _write_backbone(point: Point, facts: Facts, path: Path) -> str:
    """Write the pre-trained network as the point begins with it; returns the SHA-256 of the file."""
    assert point.family.frozen is not None  # noqa: S101 - the caller asked
    backbone = point.family.frozen.backbone(point.params, facts)
    if point.family.frozen.heads:
        network = backbone.network(None if backbone.any_side else int(point.params["input_size"]))
    else:
        network = point.family.network(point.params, facts).get_layer("backbone")
    with replacing(path) as partial:
        network.save(partial)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def render(winner: Winner, stem: str, backbones: Mapping[int, tuple[str, str]]) -> str:
    """The script. `backbones`: trial -> (name of a file beside it, SHA-256). Raises UsageError."""
    made = [_point(winner, point, backbones.get(point.trial)) for point in winner.points]
    body = "\n\n\n".join(made)
    facts = winner.facts
    constants = (
        f"CLASSES = {list(winner.classes)!r}\n"
        f"HEIGHT, WIDTH, CHANNELS = {facts.height}, {facts.width}, {facts.channels}\n"
        f"SEED = {winner.seed}\n"
        "HERE = Path(__file__).parent"
    )
    copied = _copied(body)
    code = "\n\n\n".join([constants, *copied, body, _main(winner, stem)])
    return f"{_head(winner, stem)}\n\nfrom __future__ import annotations\n\n{_imports(code)}\n\n{code}\n"


def _head(winner: Winner, stem: str) -> str:
    svm = any(point.params.get("head") == "svm" for point in winner.points)
    needs = "keras, tensorflow, numpy and pillow" + (", and scikit-learn for its support vector machine" if svm else "")
    told = "\n".join(textwrap.fill(f"Trial {p.trial}: {p.told}", 100) for p in winner.points)
    name = _quiet(stem)
    return f'''"""Trains what `search` chose for the pictures {_quiet(winner.name)!r}, in plain Keras.

    python {name}.py PICTURES            trains on all pictures for training, and writes {name}.trained.keras
    python {name}.py PICTURES --folds    trains once a fold, without its pictures, and judges on these

PICTURES is the folder that was searched. {name}.csv lists its pictures, their classes and folds.
It needs {needs}.

{told}
"""'''


def _imports(code: str) -> str:
    """The import statements of `plain.py` that the code needs, in its groups."""
    source = _PLAIN.read_text(encoding="utf-8")
    statements = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    groups: list[list[str]] = [[], []]
    for node in statements:
        if getattr(node, "module", "") != "__future__" and used & {one.asname or one.name for one in node.names}:
            top = (getattr(node, "module", None) or node.names[0].name).partition(".")[0]
            groups[top not in sys.stdlib_module_names].append(ast.unparse(node))
    return "\n\n".join("\n".join(group) for group in groups if group)


def _quiet(name: str) -> str:
    """A name for a docstring: nothing in it ends the docstring, or is an escape."""
    return "".join(letter if letter.isalnum() or letter in " ._-" else "_" for letter in name)


def _copied(body: str) -> list[str]:
    """The functions of `plain.py` that the script needs, in their order, as they stand there."""
    source = _PLAIN.read_text(encoding="utf-8")
    blocks = {
        node.name: (ast.get_source_segment(source, node) or "")
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    needed: set[str] = set()
    waiting = [*_ALWAYS, *(name for name in blocks if _names(body, name))]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [other for other in blocks if other != name and _names(blocks[name], other)]
    return [re.sub(r"  # noqa.*", "", text) for name, text in blocks.items() if name in needed]


def _names(text: str, name: str) -> bool:
    """Whether a text of code uses a name."""
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(ast.parse(text)))


def _point(winner: Winner, point: Point, backbone: tuple[str, str] | None) -> str:
    """The functions `train_N`, and what it needs, of one trial."""
    if point.family.frozen is None:
        return _of_pixels(winner, point)
    if backbone is None:
        raise UsageError(f"trial {point.trial} begins with a pre-trained network that is not beside the script")
    if point.family.frozen.heads is None:
        return _of_fine_tuning(winner, point, backbone)
    return _of_features(winner, point, backbone)


def _of_pixels(winner: Winner, point: Point) -> str:
    number, recipe = point.trial, point.family.recipe(point.params, winner.facts)
    network = point.family.network(point.params, winner.facts)
    return f"""{_function(f"build_{number}()", f"The network of trial {number}.", lines_of(network.get_config()))}


{_augmentation(number, recipe)}def train_{number}(x: Any, y: Any) -> Any:
    \"\"\"Trial {number}, trained on pixels [pictures, height, width, channels] and class numbers.\"\"\"
    keras.utils.set_random_seed(SEED)
    network = build_{number}()
{_compiled(winner, point, network)}
    {_fit(point, recipe, "network", "x")}
    return from_pixels(network, mirror={recipe.flip_average})"""


def _of_features(winner: Winner, point: Point, backbone: tuple[str, str]) -> str:
    number, params = point.trial, point.params
    last = columns(params, winner.facts) != slice(None)
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
    network = point.family.network(params, winner.facts)
    recipe = point.family.recipe(params, winner.facts)
    made = _function(f"head_{number}()", f"The head of trial {number}, on features.", lines_of(network.get_config()))
    return f"""{made}


{begin}{features}    network = head_{number}()
{_compiled(winner, point, network)}
    {_fit(point, recipe, "network", "features")}
    return with_head(seen, mean, deviation, network)"""


def _of_fine_tuning(winner: Winner, point: Point, backbone: tuple[str, str]) -> str:
    number, params, facts = point.trial, point.params, winner.facts
    recipe, network = point.family.recipe(params, facts), point.family.network(params, facts)
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
{_compiled(winner, point, network)}
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


def _compiled(winner: Winner, point: Point, network: Any) -> str:
    from spaces.presets.parts import cross_entropy

    optimizer, recipe = point.family.optimizer(point.params), point.family.recipe(point.params, winner.facts)
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
        options.append(f"factor=lambda epoch, step, steps: {list(point.factors[: point.epochs])!r}[epoch]")
    if recipe.balanced:
        options.append("balanced=True")
    return f"fit({network}, {data}, y, {', '.join(options)})"


def _main(winner: Winner, stem: str) -> str:
    shares: dict[int, float] = {}
    for part in winner.parts:
        shares[part.trial] = shares.get(part.trial, 0.0) + part.weight
    in_folds = "\n".join(
        f"            (train_{trial}(x[others], y[others]), {weight!r})," for trial, weight in shares.items()
    )
    whole = []
    for part in winner.parts:
        rows = "known" if part.left_out is None else f"known & (folds != {str(part.left_out)!r})"
        whole.append(f"        (train_{part.trial}(x[{rows}], y[{rows}]), {part.weight!r}),")
    listed = "\n".join(whole)
    return f'''def judge_in_folds(x: Any, y: Any, folds: Any) -> None:
    """Train once a fold, without its pictures, and judge on these."""
    scores = []
    for fold in sorted(set(folds) - {{"", "test"}}, key=int):
        others, judged = (folds != fold) & (folds != "") & (folds != "test"), folds == fold
        models = [
{in_folds}
        ]
        scores.append(report(f"fold {{fold}}", mean_of(models, x[judged]), y[judged]))
    print(f"balanced accuracy, mean of the folds: {{np.mean(scores):.4f}}, deviation {{np.std(scores, ddof=1):.4f}}")


def train(x: Any, y: Any, folds: Any) -> None:
    """Train on all pictures for training, judge on those for testing, and write the model."""
    known = (folds != "") & (folds != "test")
    models = [
{listed}
    ]
    if (folds == "test").any():
        report("pictures for testing", mean_of(models, x[folds == "test"]), y[folds == "test"])
    save(models, HERE / "{_quiet(stem)}.trained.keras")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    data = read_table(Path(__file__).with_suffix(".csv"), Path(sys.argv[1]))
    if "--folds" in sys.argv[2:]:
        judge_in_folds(*data)
    else:
        train(*data)'''
