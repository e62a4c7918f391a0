"""Which single changes are tried: each changes one thing, and suspected causes come first."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.diagnosis.evidence import Cause, Evidence, LayerEvidence
from search.diagnosis.experiments import MAX_VALUES, TOPICS, experiments, other_values, topic_of
from spaces import Space, Value
from spaces.facts import Facts
from spaces.parameters import Parameter, choice, integer, real
from spaces.presets import FAMILIES

FACTS = Facts(28, 28, 1, 2, 110)
DENSE = LayerEvidence("dense", "Dense", 0.1, 0.1, dead=0.1, gradient=0.1, moved=0.1, size=1.0)
PLAIN = Evidence((DENSE, replace(DENSE, name="output", dead=None)), math.log(2), math.log(2), learning_rate=1e-3)
EMPTY = Space(())


def cause(name: str, strength: float = 0.9) -> Cause:
    return Cause(name, "by the test", "nothing", strength)


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("initializer", "initial weights"),
        ("kernel_init", "initial weights"),
        ("dropout_rate", "dropout"),
        ("l2", "penalty"),
        ("weight_decay", "penalty"),
        ("learning_rate", "learning rate"),
        ("lr", "learning rate"),
        ("batch_norm", "normalisation"),
        ("batch_size", "batch size"),
        ("dense_depth", "depth"),
        ("num_layers", "depth"),
        ("epoch", "length"),
        ("units_1", "size"),
        ("something", "other"),
    ],
)
def test_the_topic_of_a_parameter_follows_from_its_name(name: str, topic: str) -> None:
    assert topic_of(name) == topic


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (integer("depth", 0, 4, 4), [0, 2]),
        (real("dropout", 0.0, 0.5, 0.2, step=0.1), [0.0, 0.5, 0.1, 0.3]),
        (real("lr", 1e-5, 1e-1, 1e-3, log=True), [1e-4, 1e-2]),
        (choice("l2", 0.01, 0.001, 0.0001, 0.0), [0.0, 0.0001, 0.001]),
        (choice("init", "uniform", "glorot", "he"), ["glorot", "he"]),
        (choice("wide", False, True), [True]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_other_values_than_the_default(parameter: Parameter, values: list[Value]) -> None:
    others = other_values(parameter, parameter.default)
    assert [pytest.approx(value) if isinstance(value, float) else value for value in values] == others[: len(values)]


@given(st.sampled_from(["question", "cnn"]), st.data())
def test_every_change_of_a_parameter_is_in_the_space_and_changes_only_what_depends_on_it(
    name: str, data: st.DataObject
) -> None:
    space = FAMILIES[name].space(FACTS)
    point = space.defaults()
    for experiment in experiments(space, point, PLAIN, [], most=1000):
        if experiment.edit is None and experiment.longer == 1:
            space.check(experiment.params)
            changed = [n for n in point if n in experiment.params and experiment.params[n] != point[n]]
            assert len(changed) == 1
    parameter = data.draw(st.sampled_from(space.parameters))
    others = other_values(parameter, parameter.default)
    assert parameter.default not in others
    assert len(others) <= MAX_VALUES


def test_suspected_causes_are_tried_first() -> None:
    space = FAMILIES["question"].space(FACTS)
    causes = [cause("regularisation too strong", 0.9), cause("dropout too strong", 0.8)]
    topics = [one.topic for one in experiments(space, space.defaults(), PLAIN, causes)]
    assert topics[:2] == ["penalty", "dropout"]
    assert len(set(topics)) > 8, "and then all other topics"


def test_a_consequence_is_tried_after_its_likelier_cause_whatever_its_evidence() -> None:
    causes = [cause("regularisation too strong", 0.4), cause("dead ReLU", 0.9)]
    topics = [one.topic for one in experiments(EMPTY, {}, replace(PLAIN, penalty=0.5), causes)]
    assert topics.index("penalty") < topics.index("activation")


def test_a_larger_penalty_or_dropout_is_never_tried() -> None:
    space = FAMILIES["question"].space(FACTS)
    for one in experiments(space, space.defaults(), PLAIN, [], most=1000):
        assert float(one.params.get("dropout", 0)) <= 0.2
        assert float(one.params.get("l2", 0)) <= 0.01


def test_a_model_without_parameters_is_edited_where_it_can_be() -> None:
    kinds = {one.edit.kind for one in experiments(EMPTY, {}, PLAIN, []) if one.edit}
    assert kinds == {"glorot", "leaky", "learning rate", "sgd"}
    layers = (replace(DENSE, dropout=0.5, dead_at_start=1.0), PLAIN.layers[1])
    rich = replace(PLAIN, layers=layers, penalty=0.5, learning_rate=10.0)
    kinds = {one.edit.kind for one in experiments(EMPTY, {}, rich, []) if one.edit}
    assert kinds == {
        "glorot",
        "leaky",
        "learning rate",
        "adam",
        "no dropout",
        "no penalty",
        "zero biases",
    }


def test_if_the_space_has_a_parameter_the_model_is_not_edited() -> None:
    space = Space((real("lr", 1e-4, 1e-1, 1e-3, log=True), choice("init", "zeros", "ones")))
    topics = [one.topic for one in experiments(space, space.defaults(), PLAIN, []) if one.edit]
    assert not {"learning rate", "initial weights"} & set(topics)


@pytest.mark.parametrize(
    ("suspected", "kind"),
    [
        ("softmax on one unit", "fitting output"),
        ("loss does not fit the labels", "fitting output"),
        ("nothing is trainable", "trainable"),
        ("inputs not scaled", "scale"),
        ("inputs scaled twice", "scale"),
    ],
)
def test_a_remedy_for_a_faulty_set_up_is_tried_first_and_only_if_that_is_suspected(suspected: str, kind: str) -> None:
    first = experiments(EMPTY, {}, PLAIN, [cause(suspected, 1.0)])[0]
    assert first.edit is not None
    assert first.edit.kind == kind
    assert kind not in {one.edit.kind for one in experiments(EMPTY, {}, PLAIN, []) if one.edit}


def test_training_that_may_be_too_short_is_tried_longer() -> None:
    changes = experiments(EMPTY, {}, PLAIN, [cause("trained too short")])
    assert [one.longer for one in changes if one.topic == "length"] == [4]


def test_topics_name_existing_causes() -> None:
    import inspect

    from search.diagnosis import rules
    from search.worker import model_checks

    source = inspect.getsource(rules) + inspect.getsource(model_checks)
    for topic in TOPICS.values():
        for name in topic.cures:
            assert f'"{name}"' in source
