"""What the commands print with `--json`: plain data, for scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.sections_json import sections_as_json
from reports.wording import answer as answer_words
from reports.wording import images as image_words
from reports.wording.diagnosis import fine, headline
from reports.wording.next_steps import advice
from search.data.findings import Findings
from search.diagnosis.evidence import LayerEvidence
from search.diagnosis.result import Diagnosed, Run, mean_validation, runs_that_learn, verdict
from search.results.calibrated import Calibrated
from search.results.explained import Explanation, Part
from search.results.labels import SuspectLabel
from search.results.more_pictures import MorePictures
from search.results.nested import Nested
from search.results.shipped import Example, Mistaken
from search.results.siblings import NamedSiblings
from search.results.standing import standings
from search.results.summary import Chosen, Pooled, StudySummary, TrialRow
from search.stats.estimate import Estimate


def as_json(data: StudySummary) -> dict[str, Any]:
    """The report as plain data for strict JSON: NaN and infinities are null."""
    study, best = data.study, data.best
    raw = {
        "study": {
            "name": study.name,
            "preset": data.preset,
            "engine": data.engine,
            "sampler": data.sampler,
            "metric": study.metric,
            **({"second_objective": data.second_objective} if data.second_objective else {}),
            "folds": data.folds,
            "seed": study.seed,
            "images": data.images,
            "testing_images": data.testing_images,
            "classes": list(study.classes),
            "class_counts": list(data.class_counts),
            "fingerprint": study.fingerprint,
            "created": study.created,
        },
        "answer": _answer_json(data),
        "next_steps": [{"what": step.what, "why": step.why, "command": step.command or None} for step in advice(data)],
        "trials": [_trial_json(row, data.second_objective) for row in sorted(data.rows, key=lambda row: row.number)],
        "best": {"number": best.number, "params": dict(best.params), "score": best.score} if best else None,
        "estimate": _estimate_json(data.estimate),
        "gain_of_another_hour": data.gain_of_another_hour,
        "nested": _nested_json(data.nested),
        "ties": list(data.ties),
        "chosen": _chosen_json(data.chosen),
        "test": vars(data.chosen.test) if data.chosen and data.chosen.test else None,
        "saved": {"folds": data.saved.folds, "seconds": data.saved.seconds},
        "diagnoses": [vars(diagnosed) for diagnosed in data.diagnoses],
        "references": [
            {"name": r.name, "label": r.label, "score": r.score, "folds": list(r.fold_scores), "seconds": r.seconds}
            for r in data.references
        ],
        **({"backbones": [vars(row) for row in data.backbones]} if data.backbones else {}),
        **({"siblings": _siblings_json(data.siblings)} if data.siblings else {}),
        **({"explanation": explanation_as_json(data.explanation)} if data.explanation else {}),
        "searching": data.searching,
        "counts": {state.value: count for state, count in data.counts.items()},
        "chance": data.chance,
        "majority": data.majority,
        "out_of_fold": _pooled_json(data.pooled),
        "mistakes": [_mistaken_json(mistaken, study.classes) for mistaken in data.telling.mistakes],
        "least_sure": [_example_json(example, study.classes) for example in data.telling.unsure],
        "calibration": _calibration_json(data.calibrated),
        "more_pictures": _more_json(data.more),
        "labels": [_suspect_json(suspect, study.classes) for suspect in data.suspects],
        "causes": [
            {"state": c.state.value, "cause": c.cause, "count": c.count, "trials": list(c.trials)} for c in data.causes
        ],
        **sections_as_json(data),
        "spent_seconds": data.spent_seconds,
        "trained_seconds": data.trained_seconds,
        "versions": dict(data.versions),
        "commands": list(data.commands),
        "notes": list(data.notes),
    }
    plain: dict[str, Any] = strict(raw)
    return plain


def _answer_json(data: StudySummary) -> dict[str, Any]:
    """The sentences that begin the report, and every score that belongs beside that of the model."""
    return {
        "sentences": [sentence for tell in answer_words.SENTENCES if (sentence := tell(data))],
        "standings": [
            {
                "what": row.what.value,
                "name": answer_words.label(row),
                "value": row.value,
                "low": row.low,
                "high": row.high,
                "images": row.images or None,
            }
            for row in standings(data)
        ],
    }


def _estimate_json(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "method": estimate.method,
        "naive": estimate.naive,
        "optimism": estimate.optimism,
    }


def explanation_as_json(e: Explanation) -> dict[str, Any]:
    """What made the difference between two trials. Gains are larger if better; `half`: of a 95 % interval, or null."""
    raw = {
        "start": e.start,
        "goal": e.goal,
        "saved": e.saved,
        "metric": e.metric,
        "start_score": e.start_score,
        "goal_score": e.goal_score,
        "gain": vars(e.whole),
        "path": [_part_json(part) for part in e.steps],
        "not_known_yet": _part_json(e.rest) if e.rest else None,
        "alone": [_part_json(part) for part in e.alone],
        "points": e.points,
        "failed": e.failed,
        "fold_runs": e.trained,
        "seconds": e.seconds,
        "command": e.command,
    }
    plain: dict[str, Any] = strict(raw)
    return plain


def _part_json(part: Part) -> dict[str, Any]:
    return {
        "changes": [vars(change) for change in part.changes],
        "along": [vars(change) for change in part.along],
        "score": part.score,
        "gain": vars(part.gain),
        "folds": part.folds,
    }


def _siblings_json(siblings: NamedSiblings) -> dict[str, Any]:
    compared = siblings.compared
    return {
        "groups": siblings.pattern,
        "split": vars(compared.split),
        "whole": vars(compared.whole),
        "difference": compared.difference,
        "low": compared.low,
        "high": compared.high,
        "too_good": compared.clear,
    }


def _nested_json(nested: Nested | None) -> dict[str, Any] | None:
    if nested is None:
        return None
    chosen = [
        {
            "fold": choice.fold,
            "number": choice.trial,
            "members": _members_json(choice.members),
            "params": dict(choice.params),
            "score": choice.score,
        }
        for choice in nested.chosen
    ]
    return {**vars(nested), "chosen": chosen}


def _members_json(members: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
    """One entry per trial, with the sum of its models' weights: models trained on all images, or one per fold."""
    return [
        {"number": trial, "weight": sum(shares), "models": len(shares)}
        for trial in dict.fromkeys(trial for trial, _ in members)
        for shares in [[weight for number, weight in members if number == trial]]
    ]


def _chosen_json(chosen: Chosen | None) -> dict[str, Any] | None:
    if chosen is None:
        return None
    members = _members_json(chosen.members)
    return {
        "number": members[0]["number"] if len(members) == 1 else None,
        "members": members,
        "current": chosen.current,
        "outdated": chosen.outdated,
        "made": chosen.made,
    }


def _trial_json(row: TrialRow, second: str | None) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": row.state.value,
        "cause": row.cause,
        "detail": row.detail,
        "params": dict(row.params),
        "origin": row.origin,
        "rank": row.rank,
        "score": row.score,
        "spread": row.spread,
        "fold_scores": list(row.fold_scores),
        "epochs": list(row.epochs),
        "best_epochs": list(row.best_epochs),
        "parameters": row.parameters,
        "seconds": row.seconds,
        **({"latency": row.latency, "pareto": row.pareto} if second else {}),
    }


def _pooled_json(pooled: Pooled | None) -> dict[str, Any] | None:
    if pooled is None:
        return None
    return {
        "trials": [{"number": number, "weight": weight} for number, weight in pooled.members],
        "images": pooled.images,
        "folds": pooled.folds,
        "metrics": dict(pooled.metrics),
        "confusion": pooled.confusion.tolist(),
    }


def _calibration_json(calibrated: Calibrated | None) -> dict[str, Any] | None:
    if calibrated is None:
        return None
    return {
        "temperature": calibrated.correction.temperature,
        "doubt": calibrated.correction.doubt,
        "error": calibrated.after.error,
        "error_by_luck": calibrated.after.by_luck,
        "error_before": calibrated.before.error,
        "bins": [vars(of_bin) for of_bin in calibrated.after.bins],
    }


def _more_json(more: MorePictures | None) -> dict[str, Any] | None:
    if more is None:
        return None
    return {
        "method": more.method,
        "verdict": more.verdict.value,
        "points": [vars(point) for point in more.points],
        "gains": [vars(gain) for gain in more.gains],
    }


def _mistaken_json(mistaken: Mistaken, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "label": classes[mistaken.label],
        "predicted": classes[mistaken.predicted],
        "count": mistaken.count,
        "examples": [_example_json(example, classes) for example in mistaken.examples],
    }


def _example_json(example: Example, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "path": example.path,
        "label": classes[example.label],
        "predicted": classes[example.predicted],
        "probability": example.probability,
        "second": classes[example.second],
        "second_probability": example.second_probability,
    }


def _suspect_json(suspect: SuspectLabel, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "path": suspect.path,
        "label": classes[suspect.label],
        "likely": classes[suspect.likely],
        "probability": suspect.probability,
        "probability_of_label": suspect.of_label,
        "rarity": suspect.rarity,
        "looks_wrong": suspect.accused,
    }


def strict(value: Any) -> Any:
    """`value` with NaN and infinities as None, and NumPy numbers as Python numbers."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def images_as_json(findings: Findings) -> dict[str, Any]:
    """What `search check --json` prints."""
    height, width, channels = findings.shape
    return {
        "name": findings.name,
        "images": findings.images,
        "testing": findings.testing,
        "layout": findings.reading,
        "read_as": {"height": height, "width": width, "channels": channels},
        "folds": findings.folds,
        "problem": findings.problem,
        "findings": [*([image_words.question(findings)] if findings.doubt else []), *findings.sentences],
        "classes": [
            {
                "name": row.name,
                "searched": row.searched,
                "independent": row.independent,
                "testing": row.testing,
                "median_size": list(row.size),
                "smallest": list(row.smallest),
                "largest": list(row.largest),
                "grey": row.grey,
            }
            for row in findings.classes
        ],
        "pairs": [
            {
                "kind": str(pair.kind),
                "paths": [pair.first.path, pair.second.path],
                "classes": [pair.first.class_name, pair.second.class_name],
                "testing": [pair.first.testing, pair.second.testing],
                "exact": pair.exact,
                "mirrored": pair.mirrored,
                "likeness": pair.likeness,
            }
            for pair in findings.pairs
        ],
        "notes": [
            {"path": note.path, "kind": note.kind, "message": note.message, "left_out": note.left_out}
            for note in findings.remarks
        ],
    }


def diagnosis_as_json(case: Diagnosed) -> dict[str, Any]:
    """What `search diagnose --json` prints. NaN and infinities are null."""
    return {
        "images": case.images,
        "model": case.model,
        "point": dict(case.point),
        "searched": case.count,
        "classes": list(case.classes),
        "floor": case.floor,
        "findings": list(case.remarks),
        "verdict": str(case.verdict),
        "answer": headline(case),
        "accuracy": _number(mean_validation(case.runs)),
        "loss": _number(case.evidence.loss) if case.evidence else None,
        "runs": [_plain_run(run) for run in case.runs],
        "layers": [_plain_layer(layer) for layer in case.evidence.layers] if case.evidence else [],
        "suspects": [
            {
                "cause": suspect.cause.name,
                "evidence": suspect.cause.evidence,
                "change": suspect.cause.change,
                "strength": suspect.cause.strength,
                "runs": suspect.runs,
                "experiments": suspect.tried,
                "freeing": suspect.freed,
            }
            for suspect in case.suspects
        ],
        "experiments": [
            {
                "topic": result.experiment.topic,
                "change": result.experiment.change,
                "line": result.experiment.line,
                "frees": result in case.fixes,
                "verdict": str(verdict(result.runs, len(case.classes))),
                "learned": runs_that_learn(result.runs, len(case.classes)),
                "runs": [_plain_run(run) for run in result.runs],
                "accuracy": _number(mean_validation(result.runs)),
            }
            for result in (*case.fixes, *case.no_fixes)
        ],
        "not_tried": [experiment.change for experiment in case.left_out],
        "fine": fine(case),
    }


def _plain_run(run: Run) -> dict[str, Any]:
    return {
        "fold": run.fold,
        "training_accuracy": _number(run.training),
        "accuracy": _number(run.validation),
        "epochs": run.epochs,
        "signs": list(run.diagnosis.symptom.signs) if run.diagnosis else [],
        "failure": run.failure,
    }


def _plain_layer(layer: LayerEvidence) -> dict[str, Any]:
    return {key: _number(value) if isinstance(value, float) else value for key, value in vars(layer).items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
