"""All families as one conditional space: which family suits the pictures is a parameter like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from spaces.facts import Facts
from spaces.parameters import Value, When, choice
from spaces.space import Space

SUMMARY = "all families in one space; those with a pre-trained network where its weights are at hand"

FAMILY = "family"


def prefix(family: str) -> str:
    """What the names of a family's parameters begin with here: 'fine_tune_' of 'fine-tune'."""
    return family.replace("-", "_") + "_"


def space(facts: Facts, families: Mapping[str, Callable[[Facts], Space]]) -> Space:
    """The families' spaces, each under the condition that its family is chosen; the first one is the default."""
    parameters = []
    for family, of in families.items():
        for parameter in of(facts).parameters:
            when = tuple(
                replace(condition, parameter=prefix(family) + condition.parameter) for condition in parameter.when
            )
            parameters.append(
                replace(parameter, name=prefix(family) + parameter.name, when=(When(FAMILY, (family,)), *when))
            )
    return Space(
        (
            choice(
                FAMILY,
                *families,
                help="what kind of model",
                source="all presets whose weights are at hand; frozen by default where it can be: its fold runs take "
                "seconds",
            ),
            *parameters,
        )
    )


def within(params: Mapping[str, Value]) -> dict[str, Value]:
    """The point as its family knows it."""
    begins = prefix(str(params[FAMILY]))
    return {name.removeprefix(begins): value for name, value in params.items() if name.startswith(begins)}
