"""The way from one point of a space to another, by changes of single parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from spaces.parameters import Parameter, Value
from spaces.space import Space


@dataclass(frozen=True)
class Route:
    """Two points of a space, and the points between them.

    A change is the name of a parameter that both points have, with different values. It brings along the parameters
    that become active by it, with the values of the goal, and takes away those that become inactive.
    """

    space: Space
    start: Mapping[str, Value]
    goal: Mapping[str, Value]

    @cached_property
    def changes(self) -> tuple[str, ...]:
        """All changes, in the order of the space."""
        return tuple(
            p.name
            for p in self.space.parameters
            if p.name in self.start and p.name in self.goal and self.start[p.name] != self.goal[p.name]
        )

    def point(self, made: Collection[str]) -> dict[str, Value]:
        """The point with these changes made, in any order: none is the start, all are the goal."""

        def choose(parameter: Parameter) -> Value:
            name = parameter.name
            first, second = (self.goal, self.start) if name in made else (self.start, self.goal)
            return first.get(name, second.get(name, parameter.default))

        return self.space.resolve(choose)

    def open(self, made: Collection[str]) -> tuple[str, ...]:
        """The changes that are left and change the point with those `made`, in the order of the space.

        A parameter that is not active there changes nothing. Empty only if the point is the goal: the first parameter
        in which a point differs from the goal is active in both, so it is a change that is left.
        """
        here = self.point(made)
        return tuple(name for name in self.changes if name not in made and name in here)

    def contains(self, point: Mapping[str, Value]) -> bool:
        """Whether some changes make this point of the start."""
        made = [name for name in self.changes if name in point and point[name] == self.goal[name]]
        return self.point(made) == dict(point)

    def difference(
        self, before: Collection[str], after: Collection[str]
    ) -> dict[str, tuple[Value | None, Value | None]]:
        """Parameter -> its values in two points, in the order of the space; None where it is not active."""
        old, new = self.point(before), self.point(after)
        names = [p.name for p in self.space.parameters if old.get(p.name) != new.get(p.name)]
        return {name: (old.get(name), new.get(name)) for name in names}
