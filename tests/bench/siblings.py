"""How often a report says that pictures of one thing make its numbers too good: `python -m tests.bench.siblings`.

Studies are simulated, so that the truth is known: images whose siblings were trained on are recognized more often by a
number of points, or not at all. All have 400 images of four classes, in five folds.
"""

from __future__ import annotations

import sys

import numpy as np

from tests.search.stats.simulated import siblings_of

IMAGES, STUDIES = 400, 1000


def main() -> None:
    """Print a line for each kind of study."""
    sys.stdout.write(f"{STUDIES} studies a line    points  told  compared  truth inside  width\n")
    for size in (2, 3):
        for divisions in (1, 3):
            for gain in (0.0, 0.14, 0.3):
                things = IMAGES // size
                found = [
                    siblings_of(n, gain=gain, things=things, size=size, divisions=divisions) for n in range(STUDIES)
                ]
                known = [each for each in found if each]
                told, inside = (sum(each.clear for each in known), sum(e.low <= gain <= e.high for e in known))
                width = np.mean([each.high - each.low for each in known])
                sys.stdout.write(
                    f"things of {size}, {divisions} divisions {100 * gain:6.0f} {told / STUDIES:5.0%} "
                    f"{len(known) / STUDIES:8.0%} {inside / max(len(known), 1):12.0%} {100 * width:7.0f}\n"
                )


if __name__ == "__main__":
    main()
