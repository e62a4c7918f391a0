"""How long the members of an ensemble take together: it is saved so that they share passes of a backbone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timed:
    """A member of an ensemble by what it costs."""

    milliseconds: float  # an image, of the member alone
    passes: frozenset[Hashable] = frozenset()
    """What of it other members may share: each view of an image that a backbone is shown, as it is in
    `spaces.presets.shared_views`. They are of one backbone and one size, so each takes as long as another."""


def together(members: Sequence[Timed]) -> float:
    """Expected milliseconds an image of an ensemble, in which a pass that several members need is run once.

    A member's own time is not known apart from its passes. So a pass is taken to cost the least that it can for any
    member that needs it: the member's time divided by the number of its passes.
    """
    costs: dict[Hashable, list[float]] = defaultdict(list)
    for member in members:
        for view in member.passes:
            costs[view].append(member.milliseconds / len(member.passes))
    saved = sum((len(of_members) - 1) * min(of_members) for of_members in costs.values())
    return sum(member.milliseconds for member in members) - saved
