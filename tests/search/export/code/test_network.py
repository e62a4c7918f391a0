"""A network written as code is the network: layer for layer, setting for setting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search.export.code.network import expression, lines_of
from spaces.facts import Facts
from spaces.presets import FAMILIES

FACTS = {"grey": Facts(32, 24, 1, 2, 100), "colour": Facts(40, 40, 3, 4, 300)}
POINTS = 20  # of each family


def built(lines: list[str]) -> Any:
    import keras

    names: dict[str, Any] = {"keras": keras}
    exec("def build():\n" + "\n".join(f"    {line}" for line in lines), names)  # noqa: S102 - our own code
    return names["build"]()


def plain(model: Any) -> Any:
    """The configuration without the names that Keras counts up, and with as many digits as float32 has."""
    numbers = {layer.name: number for number, layer in enumerate(model.layers)}

    def of(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: numbers.get(value, value) if key == "name" else of(value) for key, value in part.items()}
        if isinstance(part, list | tuple):  # the history of a tensor begins with a name
            return [
                numbers[one] if isinstance(one, str) and one in numbers and len(part) == 3 else of(one) for one in part
            ]
        return f"{part:.5g}" if isinstance(part, float) else part

    return of(model.get_config()["layers"])


@pytest.mark.first(2)
@pytest.mark.parametrize("facts", FACTS)
@pytest.mark.parametrize("family", ["cnn", "question"])
def test_every_point_of_a_family_is_written_as_it_is_built(family: str, facts: str) -> None:
    from search.worker.keras_internals import without_values

    preset, known, draw = FAMILIES[family], FACTS[facts], np.random.default_rng(5)
    space = preset.space(known)
    for _ in range(POINTS):
        point = space.sample(draw)
        if point.get("batch_size") == 1 and point.get("normalization") == "batch":
            continue
        with without_values():
            network = preset.network(point, known)
            again = built(lines_of(network.get_config()))
            assert plain(again) == plain(network), point


def test_objects_are_written_with_what_differs_from_the_defaults() -> None:
    import keras

    described = keras.saving.serialize_keras_object
    assert expression(described(keras.optimizers.Adam(0.003))) == "keras.optimizers.Adam(learning_rate=0.003)"
    sgd = expression(described(keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)))
    assert sgd == "keras.optimizers.SGD(learning_rate=0.05, weight_decay=0.0001, momentum=0.9, nesterov=True)"
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    assert expression(described(loss)) == "keras.losses.CategoricalCrossentropy(label_smoothing=0.1)"


def test_what_is_not_of_keras_has_no_code() -> None:
    with pytest.raises(ValueError, match=r"net\.Mine is not Keras's own"):
        expression({"module": "net", "class_name": "Mine", "config": {}})
