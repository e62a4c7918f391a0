"""The presets: `question` begins as it was asked, and every point of every preset is a network that works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spaces import Choice, Number, Parameter, Space, SpaceError, Value
from spaces.backbones.applications import ARCHITECTURES
from spaces.backbones.lite import LITE0, PACKAGED
from spaces.facts import Facts
from spaces.presets import EXAMPLE, FAMILIES, PRESETS, Preset, known_good, preset, probes, shared_views

Point = dict[str, Value]

SHAPES = ((8, 8, 1), (32, 32, 1), (32, 32, 3), (20, 33, 3))
DATA = [Facts(*shape, classes, 1000, (LITE0,)) for shape in SHAPES for classes in (2, 4)]
ASKED = Facts(32, 32, 1, 2, 110)
SAMPLED = 30

by_name = pytest.mark.parametrize("name", sorted(PRESETS))
networks = pytest.mark.parametrize("name", sorted(name for name, family in FAMILIES.items() if not family.frozen))
"""Those that learn from pixels; tests/search/worker/test_frozen.py has the others."""


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras, imported once and when it is needed: it takes seconds."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


@pytest.fixture(scope="module")
def asked(keras: Any) -> Any:
    """The model of the default point of `question`, as a worker builds it."""
    keras.utils.set_random_seed(1)
    chosen = FAMILIES["question"]
    return chosen.build(chosen.space(ASKED).defaults(), ASKED)


# What members of an ensemble share


@pytest.mark.parametrize("name", ["auto", "frozen"])
def test_heads_on_features_share_the_views_of_their_point(name: str) -> None:
    def views(**changes: Value) -> Any:
        prefix = "frozen_" if name == "auto" else ""
        point = {prefix + key: value for key, value in changes.items()}
        if name == "auto":
            point["family"] = "frozen"
        return shared_views(PRESETS[name], PRESETS[name].space(DATA[0]).defaults(**point), DATA[0])

    both, plain = views(), views(flip_average=False, head="svm", stages="last")
    assert len(both) == 2 and len(plain) == 1 and plain < both
    assert both.isdisjoint(views(input_size=96))


@pytest.mark.parametrize("name", ["cnn", "question", "fine-tune"])
def test_networks_of_their_own_share_none(name: str) -> None:
    assert not shared_views(PRESETS[name], PRESETS[name].space(DATA[0]).defaults(), DATA[0])


# The question, as it was asked


def test_the_layers_of_the_question(asked: Any) -> None:
    assert [type(layer).__name__ for layer in asked.layers] == [
        *("InputLayer", "Rescaling"),
        *("Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten"),
        *("Dense", "Dropout") * 4,
        "Dense",
    ]
    rescaling = asked.layers[1]
    assert (rescaling.scale, rescaling.offset) == (1 / 255, 0)
    assert asked.input_shape == (None, 32, 32, 1)
    assert asked.output_shape == (None, 2)


def test_the_convolutions_of_the_question(asked: Any) -> None:
    first, second = of_kind(asked, "Conv2D")
    assert (first.filters, second.filters) == (6, 16)
    for layer in (first, second):
        assert layer.kernel_size == (5, 5)
        assert (layer.strides, layer.padding, layer.use_bias) == ((1, 1), "valid", True)
        assert layer.activation.__name__ == "relu"
        assert type(layer.kernel_initializer).__name__ == "GlorotUniform"
        assert layer.kernel_regularizer is None
    for pool in of_kind(asked, "MaxPooling2D"):
        assert (pool.pool_size, pool.strides) == ((2, 2), (2, 2))
    assert asked.get_layer(index=6).output.shape == (None, 5 * 5 * 16)


def test_the_dense_layers_of_the_question(asked: Any) -> None:
    *hidden, output = of_kind(asked, "Dense")
    assert [layer.units for layer in hidden] == [128, 64, 64, 64]
    for layer in hidden:
        assert layer.activation.__name__ == "relu"
        assert type(layer.kernel_initializer).__name__ == "RandomUniform"
        assert (layer.kernel_initializer.minval, layer.kernel_initializer.maxval) == (-0.05, 0.05)
        kernel = np.asarray(layer.kernel)
        assert -0.05 <= kernel.min() < -0.049 < 0.049 < kernel.max() <= 0.05
        assert type(layer.kernel_regularizer).__name__ == "L2"
        assert float(layer.kernel_regularizer.l2) == pytest.approx(0.01)
        assert layer.bias_regularizer is None
    assert [layer.rate for layer in of_kind(asked, "Dropout")] == [0.2] * 4
    assert (output.units, output.activation.__name__, output.kernel_regularizer) == (2, "softmax", None)
    assert len({id(layer.kernel_initializer) for layer in hidden}) == 4, "a shared initializer makes layers begin alike"


def test_the_question_is_trained_as_it_was(keras: Any, asked: Any) -> None:
    assert asked.loss.name == "categorical_crossentropy"
    assert type(asked.optimizer) is keras.optimizers.Adam
    assert asked.optimizer.get_config()["learning_rate"] == pytest.approx(0.001)
    point = preset("question").space(ASKED).defaults()
    assert (point["batch_size"], point["epoch"], preset("question").epochs) == (32, "50 steps", 25)


def test_the_answer_most_given_is_the_first_start() -> None:
    chosen = FAMILIES["question"]
    space = chosen.space(ASKED)
    changes = chosen.starts[0].changes
    point = space.defaults(**changes)
    assert {**point, **changes} == point, "a start is a point of the space for two classes, all of it"
    assert (point["initializer"], point["dropout"], point["output"]) == ("glorot_uniform", 0.0, "sigmoid")


def test_sigmoid_is_there_for_two_classes_only() -> None:
    for facts in DATA:
        outputs = preset("question").space(facts).by_name["output"]
        assert isinstance(outputs, Choice)
        assert outputs.values == (("softmax", "sigmoid") if facts.classes == 2 else ("softmax",))
        with pytest.raises(SpaceError, match=r"^output: must be one of softmax.*got 'tanh'"):
            preset("question").space(facts).narrow({"output": "tanh"})


@pytest.mark.parametrize(
    ("output", "loss"), [("sigmoid", "binary_crossentropy"), ("softmax", "categorical_crossentropy")]
)
def test_the_loss_fits_the_output(keras: Any, output: str, loss: str) -> None:
    chosen, facts = FAMILIES["question"], DATA[0]
    model = chosen.build(chosen.space(facts).defaults(output=output), facts)
    assert (model.loss.name, model.output_shape) == (loss, (None, 1 if output == "sigmoid" else 2))
    assert keras.backend.backend() == "tensorflow"


# Every point of every preset


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "facts",
    [DATA[0], *(pytest.param(facts, marks=pytest.mark.slow) for facts in DATA[1:])],
    ids=lambda f: f"{f.height}x{f.width}x{f.channels}-{f.classes}",
)
@networks
def test_every_change_and_drawn_points_are_networks_of_the_right_shape(keras: Any, name: str, facts: Facts) -> None:
    """Shapes of all points; and of every eighth, another eighth for each data set, what the network says."""
    chosen = FAMILIES[name]
    space = chosen.space(facts)
    points = [point for point in (*changes(space), *drawn(space)) if not refused(point)]
    share = DATA.index(facts)
    for number, point in enumerate(points):
        space.check(point)
        if number % len(DATA) == share:
            says_something_finite(keras, chosen, point, facts)
            continue
        with keras.StatelessScope(initialize_variables=False):  # shapes only: no memory, no drawing of weights
            model = chosen.network(point, facts)
        assert model.input_shape == (None, *facts.shape), point
        assert model.output_shape == (None, outputs(point, facts)), point


@networks
def test_values_that_are_known_but_not_offered_work_too(keras: Any, name: str) -> None:
    chosen, facts = FAMILIES[name], DATA[0]
    space = chosen.space(facts)
    for parameter in space.parameters:
        for value in parameter.known if isinstance(parameter, Choice) else ():
            point = changed(space.narrow({parameter.name: value}), parameter, value)
            if refused(point):
                continue
            with keras.StatelessScope(initialize_variables=False):
                assert chosen.network(point, facts).output_shape == (None, 2)


@networks
def test_parameters_that_go_by_the_optimizer_reach_it(keras: Any, name: str) -> None:
    chosen = FAMILIES[name]
    for point in changes(chosen.space(DATA[0])):
        made = chosen.optimizer(point)
        rate = point.get("learning_rate", point.get("sgd_learning_rate", 0.001))
        assert made.get_config()["learning_rate"] == pytest.approx(rate)
        assert type(made).__name__.lower() == point.get("optimizer", "adam")
    assert keras.backend.backend() == "tensorflow"


# The spaces, without Keras


@by_name
def test_starts_are_points_of_every_data_set(name: str) -> None:
    for facts in DATA:
        space = preset(name).space(facts)
        for good in preset(name).starts:
            assert good.changes.keys() <= space.by_name.keys()
            space.check(space.defaults(**good.changes))


@by_name
def test_known_good_points_say_why_they_are_there_and_differ_from_each_other(name: str) -> None:
    good, space = preset(name).starts, preset(name).space(DATA[0])
    assert all(known.source for known in good)
    points = [space.defaults(), *(space.defaults(**known.changes) for known in good)]
    assert len({str(sorted(point.items())) for point in points}) == len(points)


@pytest.mark.parametrize("images", [100, 1000])
def test_the_last_alternative_is_the_cheapest(images: int) -> None:
    alternatives = [known for known in PRESETS["auto"].starts if known.one_of == "fine-tune"]
    space = PRESETS["auto"].space(Facts(200, 200, 3, 2, images, (LITE0,)))
    points = [space.defaults(**known.changes) for known in alternatives]
    assert {point["family"] for point in points} == {"fine-tune"}
    work = [int(str(point["fine_tune_input_size"])) ** 2 * int(str(point["fine_tune_epochs"])) for point in points]
    assert min(work) == work[-1] < work[0]


def test_without_a_backbone_points_that_need_one_are_the_default_which_is_tried_anyway() -> None:
    space = PRESETS["auto"].space(Facts(32, 32, 3, 2, 1000))
    for good in PRESETS["auto"].starts:
        assert space.defaults(**good.changes) == space.defaults()


@by_name
def test_each_backbone_is_probed_before_other_points_are_tried(name: str) -> None:
    facts, chosen = replace(DATA[0], backbones=PACKAGED), preset(name)
    space, found = chosen.space(facts), probes(chosen, facts)
    good = known_good(chosen, facts)
    assert [point.changes for point in good[: len(found)]] == [*found.values()]
    assert good[len(found) :] == chosen.starts
    if name not in ("auto", "frozen"):
        assert not found, "its points take minutes, or it has no backbone"
        return
    points = [space.changed(changes) for changes in found.values()]
    assert points[0] == space.defaults()
    parameter = "frozen_backbone" if name == "auto" else "backbone"
    assert [point[parameter] for point in points] == [*found] == [backbone.name for backbone in PACKAGED]
    assert all({**point, parameter: "lite0"} == space.defaults() for point in points)
    assert not probes(chosen, DATA[0]), "a single backbone is no parameter"


@pytest.mark.parametrize("images", [4, 20, 110, 5000])
def test_batches_of_cnn_are_small_beside_the_data_set(images: int) -> None:
    batches = preset("cnn").space(Facts(32, 32, 1, 2, images)).by_name["batch_size"]
    assert isinstance(batches, Choice)
    assert all(isinstance(b, int) and b <= max(4, images / 10) for b in batches.values)


def test_cnn_has_every_power_of_two_as_a_batch_and_the_same_default() -> None:
    for images, largest, default in ((20, 4, 4), (110, 8, 8), (200, 16, 16), (5000, 64, 16)):
        batches = preset("cnn").space(Facts(32, 32, 1, 2, images)).by_name["batch_size"]
        assert isinstance(batches, Choice)
        assert batches.values == tuple(2**n for n in range(7) if 2**n <= largest)
        assert batches.default == default


def test_sgd_may_decay_weights_more_than_adamw() -> None:
    space = preset("cnn").space(DATA[0])
    ranges = {name: (p.low, p.high) for name, p in space.by_name.items() if isinstance(p, Number)}
    assert (ranges["weight_decay"], ranges["sgd_weight_decay"]) == ((1e-4, 0.3), (1e-4, 1.0))
    found = {name: decays(space.defaults(optimizer=name)) for name in ("adam", "adamw", "sgd")}
    assert found == {"adam": set(), "adamw": {"weight_decay"}, "sgd": {"sgd_weight_decay"}}


def decays(point: Point) -> set[str]:
    return {name for name in point if name.endswith("weight_decay")}


def test_filters_begin_with_those_of_lenet() -> None:
    filters = preset("cnn").space(DATA[0]).by_name["filters"]
    assert (filters.range, filters.default) == ("6 to 64, step 2", 16)
    for known in (6, 8, 16, 64):
        filters.check(known)


def test_classes_may_be_weighed_in_every_family_but_the_question_where_they_are_uneven() -> None:
    for name, family in FAMILIES.items():
        even, uneven = (family.space(replace(EXAMPLE, uneven=known)) for known in (False, True))
        assert "class_weights" not in even.by_name
        assert ("class_weights" in uneven.by_name) == (name != "question")
        assert uneven.defaults().get("class_weights", "none") == "none"


def test_the_example_has_every_backbone_and_claims_no_weights() -> None:
    rows = {row["name"]: row for row in preset("auto").space(EXAMPLE).rows()}
    for name in ("frozen_backbone", "fine_tune_backbone"):
        assert rows[name]["range"] == ", ".join([*(packaged.name for packaged in PACKAGED), *ARCHITECTURES])
        assert rows[name]["source"].startswith("those whose weights are at hand")
    assert not any(backbone.sha256 for backbone in EXAMPLE.backbones if backbone not in PACKAGED)


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpaceError, match=r"^preset: there is no 'qestion'; did you mean 'question'\?$"):
        preset("qestion")


@by_name
def test_every_parameter_says_what_it_does_and_where_its_range_comes_from(name: str) -> None:
    assert PRESETS[name].name == name
    for facts in (ASKED, EXAMPLE):
        rows = preset(name).space(facts).rows()
        assert not [row["name"] for row in rows if not (row["help"] and row["source"])]


# Helpers


def refused(point: Point) -> bool:
    return (point.get("normalization"), point.get("batch_size")) == ("batch", 1)


def of_kind(model: Any, kind: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def outputs(point: Point, facts: Facts) -> int:
    return 1 if point.get("output") == "sigmoid" else facts.classes


def changes(space: Space) -> Iterator[Point]:
    """The default point, and every point that differs from it in one parameter: each choice, both ends of a range."""
    yield space.defaults()
    for parameter in space.parameters:
        for value in parameter.values if isinstance(parameter, Choice) else {parameter.low, parameter.high}:
            if value != parameter.default:
                yield changed(space, parameter, value)


def changed(space: Space, parameter: Parameter, value: Value) -> Point:
    """The default point with one value changed, and what that value needs to be there at all."""
    needed: Point = {}
    for condition in parameter.when:
        needed[condition.parameter] = condition.one_of[0] if condition.one_of else int(condition.at_least or 0)
    point = space.defaults(**{**space.defaults(), **needed, parameter.name: value})
    assert point[parameter.name] == value
    return point


def drawn(space: Space) -> Iterator[Point]:
    rng = np.random.default_rng(20)
    return (space.sample(rng) for _ in range(SAMPLED))


def says_something_finite(keras: Any, chosen: Preset, point: Point, facts: Facts) -> None:
    keras.utils.set_random_seed(1)
    model = chosen.network(point, facts)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *facts.shape)).astype(np.float32)
    said = np.asarray(model(pixels, training=True))
    assert said.shape == (2, outputs(point, facts)), point
    assert np.isfinite(said).all(), point
    assert ((said >= 0) & (said <= 1)).all(), point
    assert said.shape[1] == 1 or np.allclose(said.sum(axis=1), 1, atol=1e-5), point


def test_the_ends_of_every_range_are_tried() -> None:
    space = preset("cnn").space(DATA[2])
    tried = list(changes(space))
    for parameter in space.parameters:
        if isinstance(parameter, Number):
            seen = {point[parameter.name] for point in tried if parameter.name in point}
            assert {parameter.low, parameter.high} <= seen


@pytest.mark.usefixtures("keras")
def test_a_batch_of_one_is_for_networks_without_batch_normalisation() -> None:
    chosen = FAMILIES["cnn"]
    space = chosen.space(DATA[2])
    assert space.defaults()["normalization"] == "batch"
    with pytest.raises(ValueError, match="batch normalisation needs batches of two or more; batch_size is 1"):
        chosen.network(space.defaults(batch_size=1), DATA[2])
    assert chosen.network(space.defaults(batch_size=1, normalization="group"), DATA[2]).output_shape == (None, 2)


@pytest.mark.usefixtures("keras")
def test_a_stride_beyond_the_kernel_is_refused() -> None:
    chosen = FAMILIES["cnn"]
    space = chosen.space(DATA[2]).narrow({"kernel": 1, "pooling": ["stride", "max"]})
    with pytest.raises(ValueError, match="a stride of 2 needs kernels of 2 or more: kernel is 1"):
        chosen.network(space.defaults(pooling="stride"), DATA[2])
    assert chosen.network(space.defaults(pooling="max"), DATA[2]).output_shape == (None, 2)


@pytest.mark.first(1)
@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize("block", ["residual", "separable"])
def test_a_block_that_halves_by_a_stride_learns_from_colour(block: str) -> None:
    """A 1x1 convolution with a stride, on three channels, crashes TensorFlow on its way back."""
    facts = Facts(20, 33, 3, 2, 1000)
    model = FAMILIES["cnn"].build(FAMILIES["cnn"].space(facts).defaults(block=block, pooling="stride"), facts)
    images = np.random.default_rng(1).uniform(0, 255, (32, *facts.shape)).astype(np.float32)
    found = model.fit(images, np.eye(2)[np.arange(32) % 2], batch_size=8, epochs=2, verbose=0)
    assert np.isfinite(found.history["loss"]).all()
