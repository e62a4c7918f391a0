"""Every sampler of both engines, for tests that must forget none: a new one is among them once it is in the
configuration.
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import pytest

from search.config import OF_TWO_OBJECTIVES, SAMPLERS
from search.proposers import Proposer, make_proposer
from spaces import Space
from spaces.parameters import integer
from tests.search.instant import SPACE

METRIC = "accuracy"
EPOCHS = 9  # of hyperband: brackets of 9 points with one epoch, 5 with three, 3 with nine


class Sampler(NamedTuple):
    """A sampler as a study would ask for it."""

    engine: str
    name: str
    second: str | None = None  # what it minimises beside the metric

    def proposer(self, space: Space = SPACE, seed: int = 0) -> Proposer:
        """Of a study of this space."""
        return make_proposer(self.space(space), METRIC, self.engine, self.name, seed, self.second)

    def space(self, space: Space = SPACE) -> Space:
        """The space that it searches: hyperband chooses the epochs too."""
        if self.name != "hyperband":
            return space
        return Space((*space.parameters, integer("epochs", 1, EPOCHS, EPOCHS)))


BAYESIAN, HYPERBAND = Sampler("keras-tuner", "bayesian"), Sampler("keras-tuner", "hyperband")
NSGA2 = Sampler("optuna", "nsga2", "parameters")

EVERY = [Sampler(engine, name) for engine, names in SAMPLERS.items() for name in names if name != NSGA2.name]
EVERY += [Sampler("optuna", name, "parameters") for name in OF_TWO_OBJECTIVES]

_NO_TORCH = importlib.util.find_spec("torch") is None

INSTALLED = [
    pytest.param(
        sampler,
        id="-".join(filter(None, sampler)),
        marks=pytest.mark.skipif(
            sampler.name == "gp" and _NO_TORCH,
            reason="gp needs torch, which is not installed here: `pip install torch`, then `pytest -k gp`",
        ),
    )
    for sampler in EVERY
]
