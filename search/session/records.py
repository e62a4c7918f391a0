"""Turns outcomes of workers into records of the store."""

from __future__ import annotations

from datetime import UTC, datetime

from search.jobs import Description, FoldJob, FoldResult
from search.session.candidate import Candidate
from search.stats.racing import BEHIND_EARLY
from storage import Closing, DiagnosisRecord, FoldRecord, LayerRecord, TrialRecord, TrialState


def fold_record(job: FoldJob, result: FoldResult) -> FoldRecord:
    """A fold run as it is stored."""
    not_stored = ("behind", "diagnosis", "notes", "evidence")
    stored = {name: value for name, value in vars(result).items() if name not in not_stored}
    diagnosis = None
    if why := result.diagnosis:
        cause = why.causes[0]
        diagnosis = DiagnosisRecord(why.symptom.name, cause.name, why.sentences, cause.change, why.collapsed)
    return FoldRecord(trial=job.trial, repeat=job.repeat, fold=job.fold, seed=job.seed, diagnosis=diagnosis, **stored)


def stopped_early(job: FoldJob, result: FoldResult) -> Closing | None:
    """How a trial ends with a fold that its worker stopped; None for other folds."""
    if closing := _collapse(job, result):
        return closing
    if not result.behind:
        return None
    threshold = job.training.min_score_at[result.epochs]
    missed = f"at epoch {result.epochs} of its first fold it had not reached {threshold:.3f}"
    return TrialState.PRUNED, BEHIND_EARLY, f"{missed}, as the best third of the trials before it had"


def _collapse(job: FoldJob, result: FoldResult) -> Closing | None:
    """The same where the fold was stuck at chance."""
    why = result.diagnosis
    if why is None or not why.collapsed or not job.training.stop_collapsed:
        return None
    cause, signs = why.causes[0], "; ".join(why.symptom.signs)
    return TrialState.PRUNED, why.name, f"fold {job.fold + 1}: {signs}. {cause.evidence}. Try: {cause.change}"


def trial_record(candidate: Candidate, description: Description | None) -> TrialRecord:
    """A new trial. `description`: of its model; None if it could not be described."""
    return TrialRecord(
        number=candidate.number,
        params=candidate.params,
        origin=candidate.origin,
        parameters=description.parameters if description else None,
        layers=tuple(LayerRecord(**vars(layer)) for layer in description.layers) if description else (),
        redraws=candidate.redraws,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
