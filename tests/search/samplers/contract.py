"""Every sampler of both engines, read from the catalog, so that tests include new ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from search.samplers.base import Sampler
from search.samplers.catalog import SAMPLERS
from search.samplers.factory import make_sampler
from spaces import Space
from spaces.parameters import integer
from tests.search.session.instant import SPACE

METRIC = "accuracy"
EPOCHS = 9  # of hyperband: brackets of 9 points with one epoch, 5 with three, 3 with nine


class SamplerCase(NamedTuple):
    """A sampler as a study configures it; `second`: the second objective."""

    engine: str
    name: str
    second: str | None = None


BAYESIAN, HYPERBAND = SamplerCase("keras-tuner", "bayesian"), SamplerCase("keras-tuner", "hyperband")
NSGA2 = SamplerCase("optuna", "nsga2", "parameters")

EVERY = [SamplerCase(row.engine, row.name) for row in SAMPLERS if row.one_objective]
EVERY += [SamplerCase(row.engine, row.name, "parameters") for row in SAMPLERS if row.two_objectives]

NO_TORCH = importlib.util.find_spec("torch") is None


def each(samplers: Iterable[SamplerCase], *, quick: Iterable[SamplerCase] | None = None) -> list[Any]:
    """Samplers as parameters of a test, skipped if a package is missing; slow unless in `quick`, if that is given."""
    often = None if quick is None else {*quick}
    return [
        pytest.param(
            sampler,
            id="-".join(filter(None, sampler)),
            marks=[
                pytest.mark.skipif(
                    sampler.name == "gp" and NO_TORCH,
                    reason="gp needs torch, which is not installed; in an environment that has it too: pytest -k gp",
                ),
                *([] if often is None or sampler in often else [pytest.mark.slow]),
            ],
        )
        for sampler in samplers
    ]


def made(sampler: SamplerCase, seed: int = 0) -> Sampler:
    """The sampler of a study with the space `space_of(sampler)`."""
    return make_sampler(space_of(sampler), METRIC, sampler.engine, sampler.name, seed, sampler.second)


def space_of(sampler: SamplerCase, space: Space = SPACE) -> Space:
    """The space that the sampler searches; hyperband also chooses the epochs."""
    if sampler != HYPERBAND:
        return space
    return Space((*space.parameters, integer("epochs", 1, EPOCHS, EPOCHS)))
