"""All samplers, one row each: what it needs and what it can do. Help lists them in this order.

Imports no sampler. A new one is a row here and its builder in `optuna_builders.py` or `factory.py`.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from search.errors import UsageError


@dataclass(frozen=True)
class SamplerRow:
    """One sampler of one engine."""

    engine: str
    name: str
    summary: str  # a remark for the documentation, one line of Markdown; may be empty
    package: str | None = None  # the package it needs
    one_objective: bool = True  # whether it can optimise the metric alone, and
    two_objectives: bool = False  # the metric and a second objective
    keeps_state: bool = False  # whether `ask` writes its state into the study, so that asking again restores it
    sees_open: bool = False  # whether it keeps away from the points of open trials
    draws_inactive: bool = False  # whether its trials in memory have all parameters: it crosses those common to all
    models: str | None = None
    """For a sampler that does not support conditions: the parameters that it models. It draws the others at random.
    None: it models all parameters, or none."""
    sets_epochs: bool = False  # whether it chooses the epochs of a fold run; it then replaces the race
    ends: bool = False  # whether it can run out of points

    @property
    def missing_package(self) -> str | None:
        """The package that it needs, if it is not installed; else None."""
        return self.package if self.package and importlib.util.find_spec(self.package) is None else None


SAMPLERS = (
    SamplerRow("optuna", "tpe", "learns from the latest 250 trials and the best 25", two_objectives=True),
    SamplerRow("optuna", "random", "a yardstick for the others", two_objectives=True),
    SamplerRow(
        "optuna",
        "qmc",
        "spreads points evenly; knows no conditions",
        keeps_state=True,
        models="those of the default point",
    ),
    SamplerRow(
        "optuna",
        "gp",
        "needs torch (extra `gp`); knows no conditions",
        package="torch",
        sees_open=True,
        models="those that every point has",
    ),
    SamplerRow(
        "optuna",
        "cmaes",
        "needs the package cmaes (extra `cmaes`); knows no conditions",
        package="cmaes",
        keeps_state=True,
        models="numbers that every point has",
    ),
    SamplerRow(
        "optuna",
        "grid",
        "at most five points of a range, the last parameters varied first; ends after its last combination. For a "
        "space that you narrowed to a few parameters",
        ends=True,
    ),
    SamplerRow(
        "optuna",
        "nsga2",
        "the default with two objectives, and for those alone",
        one_objective=False,
        two_objectives=True,
        keeps_state=True,
        draws_inactive=True,
    ),
    SamplerRow("keras-tuner", "bayesian", "takes seconds a point, so it is for folds that take longer"),
    SamplerRow("keras-tuner", "random", "as Keras Tuner draws"),
    SamplerRow("keras-tuner", "grid", "the same as under `optuna`", ends=True),
    SamplerRow("keras-tuner", "hyperband", "see below", sets_epochs=True),
)

ENGINES = tuple(dict.fromkeys(row.engine for row in SAMPLERS))
"""The default first."""


def of_engine(engine: str, *, two_objectives: bool = False) -> tuple[str, ...]:
    """Names of an engine's samplers for one or `two` objectives, the default first; for two there may be none."""
    rows = [row for row in SAMPLERS if row.engine == engine]
    if two_objectives:
        rows = sorted((row for row in rows if row.two_objectives), key=lambda row: row.one_objective)
    return tuple(row.name for row in rows)


def row_of(engine: str, name: str) -> SamplerRow:
    """The row of a sampler. Raises KeyError if the engine has none of that name."""
    for row in SAMPLERS:
        if (row.engine, row.name) == (engine, name):
            return row
    raise KeyError(f"{engine} has no sampler {name}")


def check_sampler(name: str) -> None:
    """Raise UsageError unless the package that the sampler needs is installed."""
    for row in SAMPLERS:
        if row.name == name and (package := row.missing_package):
            others = [
                other.name
                for other in SAMPLERS
                if other.engine == row.engine and not other.ends and not other.missing_package
            ]
            raise UsageError(
                f"sampler: '{name}' needs the package {package}, which is not installed; "
                f"pip install {package}, or use another sampler ({', '.join(others)})"
            )


def in_help() -> str:
    """All of them for the help of a command: 'Of optuna: tpe, … or nsga2; of keras-tuner: …'."""
    listed = []
    for engine in ENGINES:
        *names, last = of_engine(engine)
        listed.append(f"of {engine}: {', '.join(names)} or {last}")
    text = "; ".join(listed)
    two = of_engine(ENGINES[0], two_objectives=True)[0]
    return f"{text[0].upper()}{text[1:]}. [default: the first of its engine; {two} with a second objective]"


def in_comment() -> str:
    """All of them for a comment in study.toml, with the defaults and the packages that they need."""
    return "; ".join(f"of {engine}: {', '.join(_with_notes(engine))}" for engine in ENGINES)


def _with_notes(engine: str) -> list[str]:
    default, two = of_engine(engine)[0], of_engine(engine, two_objectives=True)[:1]
    notes = {
        **{row.name: f" (needs {row.package})" for row in SAMPLERS if row.engine == engine and row.package},
        **dict.fromkeys(two, " (the default where there is a second objective)"),
        default: " (the default)",
    }
    return [name + notes.get(name, "") for name in of_engine(engine)]
