"""Points that are known to be good, in the order in which they are tried; data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spaces.parameters import Value


@dataclass(frozen=True)
class KnownGood:
    """A point that is tried after the baseline and before the sampler's points."""

    changes: Mapping[str, Value]  # to the defaults of the space
    source: str  # why it is here
    one_of: str = ""  # of the points with the same name here, only the first for which there is time is tried
    whole: bool = False  # only tried where there is time for all of its folds: a few would tell little for their time


FROZEN = (
    KnownGood({"input_size": 192}, "+0.4 points on b_animals10 for twice the time: more detail"),
    KnownGood({"head": "svm"}, "arXiv 1403.6382; on the same features, so it costs its fit alone"),
)

QUESTION = (
    KnownGood(
        {
            "initializer": "glorot_uniform",
            "dropout": 0.0,
            "l2": 0.0,
            "output": "sigmoid",
            "dense_depth": 1,
            "batch_size": 8,
            "epoch": "one pass",
        },
        "the most given answer: Keras's own initializer, no dropout at first, less dense, small batches",
    ),
)

AUTO = (
    KnownGood({"frozen_input_size": 192}, FROZEN[0].source),
    KnownGood({"frozen_head": "svm"}, FROZEN[1].source),
    KnownGood({"family": "fine-tune"}, "+5 to +9 points over frozen features on photographs", "fine-tune"),
    KnownGood(
        {"family": "fine-tune", "fine_tune_input_size": 96, "fine_tune_epochs": 3},
        "a fifth of the work of the one before on 300 images or fewer; 3 of 9 epochs bring about half of the gain",
        "fine-tune",
        whole=True,
    ),
    KnownGood({"family": "cnn"}, "where pictures are unlike photographs, a network from scratch may be best"),
)
