"""Makes a `Sampler` from the names of an engine and a sampler."""

from __future__ import annotations

import numpy as np
import optuna
from optuna.trial import create_trial

from search.samplers.base import Sampler
from search.samplers.catalog import row_of
from search.samplers.grid import GridSampler
from search.samplers.optuna_builders import fresh_sampler
from search.samplers.optuna_sampler import OptunaSampler
from search.samplers.optuna_study import distribution
from spaces import Space

MANY_POINTS = 200  # so many random points show which parameters all points have


def make_sampler(space: Space, metric: str, engine: str, sampler: str, seed: int, second: str | None = None) -> Sampler:
    """A sampler of an engine. Keras Tuner takes seconds to import.

    `second`: the second objective that Optuna's samplers minimise, if any.
    """
    if sampler == "grid":
        return GridSampler(space)
    if engine == "optuna":
        return OptunaSampler(space, metric, sampler, seed, second)
    from search.samplers.hyperband import HyperbandSampler
    from search.samplers.keras_tuner_sampler import KerasTunerSampler

    return (HyperbandSampler if sampler == "hyperband" else KerasTunerSampler)(space, metric, sampler, seed)


def unmodelled_parameters(space: Space, sampler: str) -> str | None:
    """A sentence on the parameters that one of Optuna's samplers does not model; None if it models all of them.

    The sampler itself is asked, with a study of many complete trials.
    """
    row = row_of("optuna", sampler)
    if row.models is None or row.missing_package:
        return None
    rng = np.random.default_rng(0)
    study, ranges = optuna.create_study(), {p.name: distribution(p) for p in space.parameters}
    for point in [space.defaults(), *(space.sample(rng) for _ in range(MANY_POINTS))]:
        study.add_trial(create_trial(value=0.0, params=point, distributions={name: ranges[name] for name in point}))
    free = {name for name, kind in ranges.items() if not kind.single()}
    modelled = free & fresh_sampler(sampler, 1, 1).infer_relative_search_space(study, study.trials[0]).keys()
    if modelled == free:
        return None
    return (
        f"sampler {sampler} models {len(modelled)} of the {len(free)} parameters ({row.models}) and draws "
        "the others at random; use tpe, which models all of them"
    )
