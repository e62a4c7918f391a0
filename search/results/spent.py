"""Where the time of a study went, as far as it is stored."""

from __future__ import annotations

from dataclasses import dataclass

from search.results.stored import StoredStudy
from spaces.presets import auto

TRAINING, CONFIRMING, REFERENCES, CURVE = "training", "confirming", "references", "curve"
FINAL, OTHER = "final", "other"


@dataclass(frozen=True)
class Part:
    """One part of the time."""

    kind: str  # TRAINING (the search's folds), CONFIRMING (finalists on new folds), REFERENCES, CURVE, FINAL, OTHER
    family: str  # of TRAINING the family of models; else empty
    seconds: float


def spent(stored: StoredStudy) -> tuple[Part, ...]:
    """The parts, each the sum over its jobs, without those of less than 0.05 s; training by family comes first.

    Jobs of several workers run at the same time, so the sum may exceed the time by the clock. If it does not, the
    last part is OTHER, what is missing: the least that all else took. CURVE is references on parts of the images, FINAL
    the training of the model that was saved.
    """
    preset = str(stored.study.config.get("preset", ""))
    training: dict[str, float] = {}
    confirming = 0.0
    for trial in stored.trials:
        family = str(trial.params.get(auto.FAMILY, preset))
        for fold in trial.folds:
            if fold.repeat:
                confirming += fold.seconds
            else:
                training[family] = training.get(family, 0.0) + fold.seconds
    parts = [Part(TRAINING, family, seconds) for family, seconds in sorted(training.items(), key=lambda x: -x[1])]
    parts += [
        Part(CONFIRMING, "", confirming),
        Part(REFERENCES, "", float(sum(record.seconds for record in stored.references))),
        Part(CURVE, "", float(sum(record.seconds for record in stored.parts))),
        Part(FINAL, "", float(sum(choice.seconds for choice in stored.choices))),
    ]
    clock = float(sum(run.seconds for run in stored.runs))
    parts.append(Part(OTHER, "", clock - sum(part.seconds for part in parts)))
    return tuple(part for part in parts if part.seconds >= 0.05)
