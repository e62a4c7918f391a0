"""Diagnoses for tests: a network that is stuck, and runs of any kind."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.diagnosis.evidence import STUCK, Cause, Diagnosis, Evidence, LayerEvidence, Symptom
from search.diagnosis.experiments import Experiment
from search.diagnosis.result import Diagnosed, ExperimentResult, Run

LN2 = math.log(2)


def run(training: float, validation: float) -> Run:
    """Three epochs on 88 images, judged on 22, without evidence."""
    curve = {
        "loss": (0.9, 0.8, 0.75),
        "val_log_loss": (0.69, 0.65, 0.6),
        "balanced_accuracy": (0.5, 0.6, training),
        "val_balanced_accuracy": (0.5, 0.6, validation),
    }
    return Run(0, 88, 22, training, validation, 3, curve, 1.0)


def tried(topic: str, runs: Sequence[Run], change: str = "") -> ExperimentResult:
    """An experiment about a topic."""
    return ExperimentResult(Experiment(topic, change or f"{topic}: as it should be", "line = 1"), tuple(runs))


def _layer(name: str, spread: float) -> LayerEvidence:
    return LayerEvidence(name, "Dense", spread / 10, spread, dead=0.1, gradient=0.01, moved=0.1, size=1.0)


EVIDENCE = Evidence(
    tuple(_layer(name, 0.25 * 0.2**place) for place, name in enumerate(("conv2d", "dense", "dense_1", "output"))),
    LN2,
    LN2,
    penalty=0.1,
    penalty_at_start=0.7,
    learning_rate=1e-3,
    steps=450,
)
STUCK_RUN = Run(
    fold=0,
    images=88,
    validated=22,
    training=0.5,
    validation=0.5,
    epochs=9,
    curve=run(0.5, 0.5).curve,
    seconds=1.0,
    diagnosis=Diagnosis(
        Symptom(STUCK, ("one class is predicted for all images",)),
        (
            Cause("initial weights too small", "0.0006 of the signal is left", "glorot_uniform", 0.9),
            Cause("gradients vanish", "nothing arrives", "normalise", 0.65),
            Cause("regularisation too strong", "penalties are 45% of the loss", "none", 0.45),
        ),
        collapsed=True,
        evidence=EVIDENCE,
    ),
    evidence=EVIDENCE,
)
CASE = Diagnosed(
    images="shirts",
    model="preset question",
    point={"initializer": "uniform_0.05", "dense_depth": 4, "l2": 0.01},
    count=110,
    classes=("shirt", "t_shirt"),
    floor=LN2,
    remarks=(),
    runs=(STUCK_RUN,) * 3,
)
