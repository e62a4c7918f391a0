"""Turns outcomes of workers into records of the store. Pure."""

from __future__ import annotations

from search.jobs import FoldJob, FoldResult
from storage import Closing, DiagnosisRecord, FoldRecord, TrialState


def fold_record(job: FoldJob, result: FoldResult) -> FoldRecord:
    """A fold run as it is stored."""
    not_stored = ("behind", "diagnosis", "notes", "evidence")
    stored = {name: value for name, value in vars(result).items() if name not in not_stored}
    diagnosis = None
    if why := result.diagnosis:
        cause = why.causes[0]
        diagnosis = DiagnosisRecord(why.symptom.name, cause.name, why.sentences, cause.change, why.collapsed)
    return FoldRecord(trial=job.trial, repeat=job.repeat, fold=job.fold, seed=job.seed, diagnosis=diagnosis, **stored)


def collapse(job: FoldJob, result: FoldResult) -> Closing | None:
    """How a trial ends with a fold that was stopped because it was stuck at chance; None for other folds."""
    why = result.diagnosis
    if why is None or not why.collapsed or not job.training.stop_collapsed:
        return None
    cause, signs = why.causes[0], "; ".join(why.symptom.signs)
    return TrialState.PRUNED, why.name, f"fold {job.fold + 1}: {signs}. {cause.evidence}. Try: {cause.change}"
