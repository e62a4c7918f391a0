"""Which samplers there are, what each one needs and what it can do. It imports no sampler."""

from __future__ import annotations

import importlib.util

from search.errors import UsageError

SAMPLERS = {
    "optuna": ("tpe", "random", "qmc", "gp", "cmaes", "grid", "nsga2"),
    "keras-tuner": ("bayesian", "random", "grid", "hyperband"),
}
"""Engine -> its samplers, the default first."""

OF_TWO_OBJECTIVES = ("nsga2", "tpe", "random")
"""Samplers of Optuna that can weigh two objectives, the default first."""

KEEP_STATE_IN_TRIALS = {"qmc", "cmaes", "nsga2"}
"""Samplers that write their state into the study as they are asked: only asking again restores it."""

DRAWS_WHAT_IS_INACTIVE = {"nsga2"}
"""Samplers that cross only what all trials have: theirs have every parameter, in memory, active or not."""

_NEEDS = {"gp": "torch", "cmaes": "cmaes"}

MODELS_SOME = {
    "qmc": "those of the default point",
    "gp": "those that every point has",
    "cmaes": "numbers that every point has",
}
"""Samplers that know no conditions, and which parameters they choose together; all others are drawn by chance alone."""


def check_sampler(name: str) -> None:
    """Raise UsageError unless what the sampler needs is installed."""
    if package := missing_package(name):
        others = ", ".join(other for other in SAMPLERS["optuna"] if other != "grid" and not missing_package(other))
        raise UsageError(
            f"sampler: '{name}' needs the package {package}, which is not installed; "
            f"install smallsearch[{name}], or use another sampler ({others})"
        )


def missing_package(name: str) -> str | None:
    """The package that a sampler needs, where it is not installed."""
    package = _NEEDS.get(name)
    return package if package and importlib.util.find_spec(package) is None else None
