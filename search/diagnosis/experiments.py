"""Which single changes to a model to try, the most suspected first. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from search.diagnosis.evidence import Cause, Evidence
from search.diagnosis.rules import DEAD
from spaces.parameters import Choice, Number, Parameter, Value
from spaces.space import Space

MAX_EXPERIMENTS = 24
MAX_VALUES = 4  # of one parameter
LONGER = 4  # times as many epochs, where training is suspected to be too short
OFTEN = 8  # images a batch, for a model that leaves that to us


@dataclass(frozen=True)
class Edit:
    """A change to a compiled Keras model that needs no change to the code that makes it; see `worker/edits.py`."""

    kind: str
    value: float = math.nan  # the learning rate, or the factor of the pixels; NaN for what has no number


@dataclass(frozen=True)
class Experiment:
    """One thing that is done otherwise."""

    topic: str  # what it is about, a key of TOPICS
    change: str  # in words: 'l2: 0.01 → 0'
    line: str  # what to write, as a line of code or of study.toml
    params: Mapping[str, Value] = field(default_factory=dict)  # the whole point; empty: as it was
    edit: Edit | None = None
    longer: int = 1  # times as many epochs
    suspicion: float = 0.0  # 0..1, of the likeliest cause that it would cure


@dataclass(frozen=True)
class Topic:
    """Something that can be done otherwise, how parameters of it are called, and which causes it may cure."""

    words: tuple[str, ...]  # a parameter with one of them in its name is about it
    cures: tuple[str, ...]  # names of causes


_LOSS = ("loss does not fit the output", "loss does not fit the labels", "softmax on one unit")
TOPICS: Mapping[str, Topic] = {  # a name belongs to the first that knows it
    "initial weights": Topic(
        ("init",), ("initial weights too small", "initial weights too large", "initial weights are zero")
    ),
    "dropout": Topic(("drop",), ("dropout too strong",)),
    "penalty": Topic(("l2", "l1", "regul", "penalt", "weight_decay"), ("regularisation too strong",)),
    "normalisation": Topic(("norm",), ("initial weights too small", "gradients vanish", "dead ReLU")),
    "depth": Topic(("depth", "layers", "blocks"), ("initial weights too small", "gradients vanish")),
    "activation": Topic(("activation",), ("dead ReLU", "gradients vanish")),
    "learning rate": Topic(
        ("learning_rate", "lr", "rate"), ("learning rate too large", "learning rate too small", "dead ReLU")
    ),
    "optimizer": Topic(("optim",), ("learning rate too large", "learning rate too small")),
    "batch size": Topic(("batch",), ("trained too short", "a batch of one")),
    "length": Topic(("epoch", "steps"), ("trained too short",)),
    "output": Topic(("output", "loss", "logits"), (*_LOSS, "from_logits with probabilities")),
    "biases": Topic(("bias",), ("dead ReLU",)),
    "trained layers": Topic(("trainable", "freeze"), ("nothing is trainable", "frozen layers were never trained")),
    "scaling": Topic(("scal",), ("inputs not scaled", "inputs scaled twice")),
    "augmentation": Topic(("augment", "flip"), ()),
    "size": Topic(("unit", "filter", "head", "growth", "kernel"), ("parameters many times the images",)),
    "other": Topic(("",), ()),
}
_LESS = ("dropout", "penalty")  # more of these frees nothing


def topic_of(name: str) -> str:
    """What a parameter of this name is about, as far as its name says."""
    return next(topic for topic, known in TOPICS.items() if any(word in name.lower() for word in known.words))


def experiments(
    space: Space,
    point: Mapping[str, Value],
    evidence: Evidence,
    causes: Sequence[Cause],
    *,
    most: int = MAX_EXPERIMENTS,
) -> tuple[Experiment, ...]:
    """The single changes to try, at most `most` of them.

    Each parameter of the `space` that is active at `point` is given other values; what the space has no parameter for
    is changed in the model itself. The strongest suspicion comes first; a parameter's second value counts for a
    third of its first, so that other kinds of change have their turn.

    `causes`: the likeliest first. One counts for no more than those before it, since what follows from another cause
    may have the stronger evidence.
    """
    proposed = [*_of_parameters(space, point), *_of_the_model(space, point, evidence, causes)]
    strengths = dict(zip((c.name for c in causes), accumulate((c.strength for c in causes), min), strict=True))
    suspected = [(place, _suspected(experiment, strengths)) for place, experiment in proposed]
    topics = list(TOPICS)
    ordered = sorted(
        suspected,
        key=lambda pair: (-pair[1].suspicion / 3 ** pair[0], pair[0], topics.index(pair[1].topic)),
    )
    return tuple(experiment for _, experiment in ordered[:most])


def _suspected(experiment: Experiment, strengths: Mapping[str, float]) -> Experiment:
    cures = TOPICS[experiment.topic].cures
    return replace(experiment, suspicion=max((strengths.get(name, 0.0) for name in cures), default=0.0))


def _of_parameters(space: Space, point: Mapping[str, Value]) -> Iterator[tuple[int, Experiment]]:
    """(place among the values of its parameter, experiment)."""
    for parameter in space.parameters:
        if parameter.name not in point:
            continue
        topic, now = topic_of(parameter.name), point[parameter.name]
        for place, value in enumerate(other_values(parameter, now, less=topic in _LESS)):
            changed = space.defaults(**{**point, parameter.name: value})
            words = f"{parameter.name}: {written(now)} → {written(value)}"
            yield place, Experiment(topic, words, f"{parameter.name} = {literal(value)}", changed)


def other_values(parameter: Parameter, now: Value, *, less: bool = False) -> list[Value]:
    """Sensible values in the place of `now`, the most telling first, at most MAX_VALUES.

    Of numbers both ends of what is allowed, then what lies halfway to each; of words all in their order. `less`: only
    numbers below `now`.
    """
    values = _of_range(parameter, float(now)) if isinstance(parameter, Number) else _of_choice(parameter, now)
    if less and _is_number(now):
        values = [value for value in values if _is_number(value) and float(value) < float(now)]
    return values[:MAX_VALUES]


def _of_range(parameter: Number, now: float) -> list[Value]:
    low, high = parameter.low, parameter.high
    if parameter.log:
        wanted = [max(now / 10, low), min(now * 10, high), math.sqrt(now * low), math.sqrt(now * high)]
    else:
        wanted = [low, high, (low + now) / 2, (now + high) / 2]
    values = [parameter.nearest_value(value) for value in wanted]
    typed: list[Value] = [int(value) if parameter.integer else float(value) for value in values]
    return [value for value in dict.fromkeys(typed) if value != now]


def _of_choice(parameter: Choice, now: Value) -> list[Value]:
    if not all(_is_number(value) for value in parameter.values):
        return [value for value in parameter.values if value != now]
    ordered = sorted(parameter.values, key=float)
    at, last = ordered.index(now) if now in ordered else 0, len(ordered) - 1
    places = dict.fromkeys([0, last, at // 2, (at + last) // 2, *range(len(ordered))])
    return [ordered[place] for place in places if ordered[place] != now]


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def written(value: Value) -> str:
    """A value for people: 0.001, not 0.0010000000474974513."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def literal(value: Value) -> str:
    """A value as code."""
    return f'"{value}"' if isinstance(value, str) else written(value)


def _of_the_model(
    space: Space, point: Mapping[str, Value], evidence: Evidence, causes: Sequence[Cause]
) -> Iterator[tuple[int, Experiment]]:
    """(place within its topic, experiment) for what the space has no parameter for and the model has."""
    declared = {topic_of(name) for name in space.by_name}
    places: dict[str, int] = {}
    for experiment in _edits(evidence, {cause.name for cause in causes}):
        if experiment.topic not in declared:
            places[experiment.topic] = places.get(experiment.topic, -1) + 1
            yield places[experiment.topic], experiment
    if "batch size" not in declared:
        line = f'hp.Fixed("batch_size", {OFTEN})'
        yield 0, Experiment("batch size", f"batches of {OFTEN} images", line, {**point, "batch_size": OFTEN})


def _edits(evidence: Evidence, suspected: set[str]) -> Iterator[Experiment]:
    """What can be changed in a compiled model of which this is known."""
    layers = evidence.layers
    if any(layer.size is not None for layer in layers):
        yield Experiment(
            "initial weights",
            "all initial weights by glorot_uniform",
            'kernel_initializer="glorot_uniform" in every layer',
            edit=Edit("glorot"),
        )
    if any(layer.dropout for layer in layers):
        yield Experiment("dropout", "dropout off", "Dropout(0)", edit=Edit("no dropout"))
    if evidence.penalty > 0 or evidence.penalty_at_start > 0:
        line = "no kernel_regularizer, no activity_regularizer"
        yield Experiment("penalty", "penalties off", line, edit=Edit("no penalty"))
    if any(layer.dead is not None for layer in layers):
        words, line = "activations: relu → leaky_relu", 'activation="leaky_relu"'
        yield Experiment("activation", words, line, edit=Edit("leaky"))
    if any((layer.dead_at_start or 0.0) >= DEAD for layer in layers):
        yield Experiment("biases", "all initial biases 0", 'bias_initializer="zeros"', edit=Edit("zero biases"))
    yield from _of_the_optimizer(evidence.learning_rate)
    mending = {experiment.change: experiment for name, experiment in _MENDING if name in suspected}
    yield from mending.values()


_ADAM = 1e-3  # Keras's own learning rate of Adam


def _of_the_optimizer(rate: float) -> Iterator[Experiment]:
    usual = math.isclose(rate, _ADAM, rel_tol=1e-4)
    if math.isfinite(rate) and rate > 0:
        for other in (rate * 10, rate / 10, *([] if abs(math.log10(rate / _ADAM)) < 1.5 else [_ADAM])):
            words, line = f"learning rate: {written(rate)} → {written(other)}", f"learning_rate={written(other)}"
            yield Experiment("learning rate", words, line, edit=Edit("learning rate", other))
    if usual:
        line = "optimizer=keras.optimizers.SGD(0.01, momentum=0.9)"
        yield Experiment("optimizer", "optimizer: SGD at 0.01, momentum 0.9", line, edit=Edit("sgd"))
    else:
        line = "optimizer=keras.optimizers.Adam(0.001)"
        yield Experiment("optimizer", "optimizer: Adam at 0.001", line, edit=Edit("adam"))


_FITTING = Experiment(
    "output",
    "an output and a loss that fit the classes",
    'Dense(classes, activation="softmax") with loss="categorical_crossentropy", or Dense(1, activation="sigmoid") with '
    'loss="binary_crossentropy"',
    edit=Edit("fitting output"),
)
_TRAINED = Experiment("trained layers", "all layers trained", "trainable = True", edit=Edit("trainable"))
_MENDING = (  # a cause, and what is tried only where it is suspected
    ("softmax on one unit", _FITTING),
    ("loss does not fit the labels", _FITTING),
    ("loss does not fit the output", _FITTING),
    ("from_logits with probabilities", _FITTING),
    ("nothing is trainable", _TRAINED),
    ("frozen layers were never trained", _TRAINED),
    (
        "inputs not scaled",
        Experiment(
            "scaling", "pixels divided by 255", "keras.layers.Rescaling(1 / 255) first", edit=Edit("scale", 1 / 255)
        ),
    ),
    (
        "inputs scaled twice",
        Experiment("scaling", "pixels multiplied by 255", "no second division by 255", edit=Edit("scale", 255.0)),
    ),
    (
        "trained too short",
        Experiment("length", f"{LONGER} times as many epochs", f"{LONGER} times --epochs", longer=LONGER),
    ),
)
