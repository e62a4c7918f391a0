"""Calls a function for many arguments, in one process per available core."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

Found = TypeVar("Found")


def of_each(do: Callable[..., Found], arguments: Sequence[tuple[Any, ...]]) -> list[Found]:
    """The results of `do` for each of the arguments, in their order."""
    results = []
    for result in Parallel(n_jobs=-1, return_as="generator")(delayed(_alone)(do, each) for each in arguments):
        results.append(result)
        print(f"{len(results)} of {len(arguments)} ", end="\r", file=sys.stderr, flush=True)
    return results


def _alone(do: Callable[..., Found], arguments: tuple[Any, ...]) -> Found:
    """Call with one thread, which is faster on small arrays, and without warnings that a network has not converged."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return do(*arguments)
