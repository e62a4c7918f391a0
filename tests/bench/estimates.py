"""How good the estimate of the best trial's score is, where the truth is known: `python -m tests.bench.estimates`."""

from __future__ import annotations

import numpy as np

from search.estimate import estimate
from search.metrics import scores
from tests.search.simulated import studies

STUDIES = 100
CASES = ((100, 100, 0.0), (100, 100, 0.3), (110, 14, 0.8), (300, 60, 0.3), (1000, 60, 0.2))


def main() -> None:
    """Print a row a case."""
    print(f"{STUDIES} simulated studies a row; errors in points of balanced accuracy against the chosen trial's truth")
    print("images  trials  spread  estimate off by  naive off by  intervals that hold the truth  their width")
    for images, trials, spread in CASES:
        off, naive, held, width = [], [], [], []
        for study in studies(STUDIES, images=images, trials=trials, spread=spread):
            found = estimate(study.probabilities, study.labels, "balanced_accuracy")
            assert found is not None
            pooled = [scores(study.labels, rows, ("balanced_accuracy",)) for rows in study.probabilities]
            truth = study.truth[int(np.argmax([row["balanced_accuracy"] for row in pooled]))]
            off.append(100 * (found.value - truth))
            naive.append(100 * (found.naive - truth))
            held.append(found.low <= truth <= found.high)
            width.append(100 * (found.high - found.low))
        print(
            f"{images:6} {trials:7} {spread:7.1f} {np.mean(off):+16.1f} {np.mean(naive):+13.1f} "
            f"{np.mean(held):30.0%} {np.mean(width):12.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
