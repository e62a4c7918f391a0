"""An ensemble takes as long as its members, less the passes that they share."""

from __future__ import annotations

import pytest

from search.stats.latency import Timed, together

BOTH, PLAIN, SMALL = frozenset({"128", "128 mirrored"}), frozenset({"128"}), frozenset({"96"})


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([], 0.0),
        ([Timed(3.0)], 3.0),
        ([Timed(10.0, BOTH)], 10.0),
        ([Timed(3.0), Timed(3.0)], 6.0),  # networks of their own share nothing
        ([Timed(10.0, BOTH)] * 3, 10.0),
        ([Timed(10.0, BOTH), Timed(10.5, BOTH), Timed(10.1, BOTH)], 10.6),  # 10 for the passes, 0.5 and 0.1 for heads
        ([Timed(10.0, BOTH), Timed(5.0, PLAIN)], 10.0),
        ([Timed(10.0, BOTH), Timed(4.0, PLAIN)], 10.0),  # an uneven machine: what is shared is 4 at most
        ([Timed(10.0, BOTH), Timed(3.0, SMALL), Timed(2.0)], 15.0),  # another size is another pass
    ],
)
def test_shared_passes_are_counted_once(members: list[Timed], expected: float) -> None:
    assert together(members) == pytest.approx(expected)


def test_it_is_never_less_than_its_slowest_member() -> None:
    members = [Timed(9.0, BOTH), Timed(20.0, BOTH), Timed(1.0, PLAIN)]
    assert together(members) >= 20.0
