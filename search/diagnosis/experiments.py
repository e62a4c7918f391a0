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
LONGER = 4  # times as many epochs, if training may be too short
OFTEN = 8  # images per batch, for a model that does not set the batch size


@dataclass(frozen=True)
class Edit:
    """A change to a compiled Keras model, not to the code that builds it; see `worker/diagnosis_edits.py`."""

    kind: str
    value: float = math.nan  # the learning rate, or the factor of the pixels; else NaN


@dataclass(frozen=True)
class Experiment:
    """A single change."""

    topic: str  # a key of TOPICS
    change: str  # for people: 'l2: 0.01 → 0'
    line: str  # the line of code or of study.toml to write
    params: Mapping[str, Value] = field(default_factory=dict)  # the whole point; empty: unchanged
    edit: Edit | None = None
    longer: int = 1  # factor for the number of epochs
    suspicion: float = 0.0  # 0..1, strength of the likeliest cause that it may cure


@dataclass(frozen=True)
class Topic:
    """What can be changed, how parameters for it are named, and which causes a change may cure."""

    words: tuple[str, ...]  # a parameter with one of them in its name has this topic
    cures: tuple[str, ...]  # names of causes


_LOSS = ("loss does not fit the output", "loss does not fit the labels", "softmax on one unit")
TOPICS: Mapping[str, Topic] = {  # a parameter has the first topic that fits its name
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
_LESS = ("dropout", "penalty")  # larger values of these cannot help


def topic_of(name: str) -> str:
    """The topic of a parameter, judged by its name."""
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

    Each parameter of the `space` that is active at `point` gets other values. Topics for which the space has no
    parameter are changed in the model itself. The changes with the strongest suspicion come first. The second value
    of a parameter has a third of the suspicion of the first, so that other kinds of change come in between.

    `causes`: the likeliest first. The strength of each is limited to that of the causes before it, since the
    consequence of a cause may have the stronger evidence.
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
    """(index among the values of its parameter, experiment)."""
    for parameter in space.parameters:
        if parameter.name not in point:
            continue
        topic, now = topic_of(parameter.name), point[parameter.name]
        for place, value in enumerate(other_values(parameter, now, less=topic in _LESS)):
            changed = space.defaults(**{**point, parameter.name: value})
            words = f"{parameter.name}: {written(now)} → {written(value)}"
            yield place, Experiment(topic, words, f"{parameter.name} = {literal(value)}", changed)


def other_values(parameter: Parameter, now: Value, *, less: bool = False) -> list[Value]:
    """At most MAX_VALUES other values than `now`, the most informative first.

    For numbers both ends of the range, then the values halfway to them; for words all in their order. `less`: only
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
    """(index within its topic, experiment) for changes of the model for which the space has no parameter."""
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
    """The changes that can be made to a compiled model with this evidence."""
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
    remedies = {experiment.change: experiment for name, experiment in _REMEDIES if name in suspected}
    yield from remedies.values()


_ADAM = 1e-3  # default learning rate of Adam in Keras


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
_REMEDIES = (  # (cause, experiment): tried only if the cause is suspected
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
