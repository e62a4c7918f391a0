"""From what a worker answers to what is stored. Pure."""

from __future__ import annotations

from search.jobs import FoldJob, FoldResult
from storage import Closing, DiagnosisRecord, FoldRecord, TrialState


def fold_record(job: FoldJob, result: FoldResult) -> FoldRecord:
    """A fold run as it is stored."""
    known = {
        name: value for name, value in vars(result).items() if name not in ("behind", "diagnosis", "notes", "evidence")
    }
    found = None
    if why := result.diagnosis:
        cause = why.causes[0]
        found = DiagnosisRecord(why.symptom.name, cause.name, why.sentences, cause.change, why.collapsed)
    return FoldRecord(trial=job.trial, repeat=job.repeat, fold=job.fold, seed=job.seed, diagnosis=found, **known)


def collapse(job: FoldJob, result: FoldResult) -> Closing | None:
    """How a trial ends with this fold where that was stopped for being stuck at chance, else None."""
    why = result.diagnosis
    if why is None or not why.collapsed or not job.training.stop_collapsed:
        return None
    cause, signs = why.causes[0], "; ".join(why.symptom.signs)
    return TrialState.PRUNED, why.name, f"fold {job.fold}: {signs}. {cause.evidence}. Try: {cause.change}"
