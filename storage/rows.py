"""Converts records to rows and back. An invalid row raises ValueError, TypeError or LookupError."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import repeat
from typing import Any, TypeVar

from sqlalchemy import Row

from storage.records import (
    ChoiceRecord,
    DiagnosisRecord,
    FoldRecord,
    ImageRecord,
    Json,
    LayerRecord,
    Origin,
    ReferenceRecord,
    RunRecord,
    Split,
    StudyRecord,
    TrialRecord,
    TrialState,
)

T = TypeVar("T")
Values = dict[str, Any]


def _is(kind: type[T], value: Any) -> T:
    """`value`, if it has this type; SQLite stores any type in a column, so a flipped bit may change an int to text."""
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, found {type(value).__name__}")
    return value


def _or_none(kind: type[T], value: Any) -> T | None:
    return None if value is None else _is(kind, value)


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(map(float, _is(list, values)))


def study_values(study: StudyRecord) -> Values:
    return {
        "name": study.name,
        "created": study.created,
        "seed": study.seed,
        "metric": study.metric,
        "classes": study.classes,
        "image_shape": study.image_shape,
        "fingerprint": study.fingerprint,
        "config": study.config,
        "space": study.space,
        "notes": study.notes,
    }


def study_record(row: Row[Any]) -> StudyRecord:
    height, width, channels = _is(list, row.image_shape)
    return StudyRecord(
        name=_is(str, row.name),
        created=_is(str, row.created),
        seed=_is(int, row.seed),
        metric=_is(str, row.metric),
        classes=tuple(_is(str, name) for name in _is(list, row.classes)),
        image_shape=(_is(int, height), _is(int, width), _is(int, channels)),
        fingerprint=_is(str, row.fingerprint),
        config=_is(dict, row.config),
        space=_is(dict, row.space),
        notes=tuple(_is(str, note) for note in _or_none(list, row.notes) or []),
    )


def image_values(image: ImageRecord) -> Values:
    return {
        "row": image.row,
        "path": image.path,
        "label": image.label,
        "testing": image.testing,
        "digest": image.digest,
    }


def image_record(row: Row[Any]) -> ImageRecord:
    return ImageRecord(
        row=_is(int, row.row),
        path=_is(str, row.path),
        label=_is(int, row.label),
        testing=_is(bool, row.testing),
        digest=_is(str, row.digest),
    )


def split_values(split: Split) -> Values:
    return {"repeat": split.repeat, "assignment": split.assignment}


def split_record(row: Row[Any]) -> Split:
    return Split(repeat=_is(int, row.repeat), assignment=row.assignment)


def run_values(run: RunRecord) -> Values:
    return {
        "started": run.started,
        "command": run.command,
        "versions": run.versions,
        "host": run.host,
        "pid": run.pid,
        "seconds": run.seconds,
        "outcome": run.outcome,
    }


def run_record(row: Row[Any]) -> RunRecord:
    return RunRecord(
        started=_is(str, row.started),
        command=_is(str, row.command),
        versions={package: _is(str, version) for package, version in _is(dict, row.versions).items()},
        host=_is(str, row.host),
        pid=_is(int, row.pid),
        seconds=_is(float, row.seconds),
        outcome=_or_none(str, row.outcome),
    )


def layer_values(layers: Iterable[LayerRecord]) -> list[Json]:
    return [[layer.name, layer.kind, layer.shape, layer.parameters, layer.detail] for layer in layers]


def _layer(value: Json) -> LayerRecord:
    name, kind, shape, parameters, detail = _is(list, value)
    sides = tuple([_or_none(int, size) for size in _is(list, shape)])
    return _layer_record(_is(str, name), _is(str, kind), sides, _is(int, parameters), _is(str, detail))


_layer_record = lru_cache(maxsize=10_000)(LayerRecord)  # trials have many layers in common


def trial_values(trial: TrialRecord) -> Values:
    return {
        "number": trial.number,
        "params": trial.params,
        "origin": trial.origin.value,
        "state": trial.state.value,
        "parameters": trial.parameters,
        "layers": layer_values(trial.layers),
        "redraws": trial.redraws,
        "started": trial.started,
    }


def trial_record(row: Row[Any], folds: Iterable[FoldRecord], *, layers: bool = True) -> TrialRecord:
    return TrialRecord(
        number=_is(int, row.number),
        params=_is(dict, row.params),
        origin=Origin(row.origin),
        state=TrialState(row.state),
        cause=_or_none(str, row.cause),
        detail=_or_none(str, row.detail),
        parameters=_or_none(int, row.parameters),
        layers=tuple(_layer(value) for value in _is(list, row.layers)) if layers else (),
        redraws=_is(int, row.redraws),
        started=_is(str, row.started),
        finished=_or_none(str, row.finished),
        folds=tuple(folds),
    )


def fold_values(fold: FoldRecord) -> Values:
    return {
        "trial": fold.trial,
        "repeat": fold.repeat,
        "fold": fold.fold,
        "seed": fold.seed,
        "scores": _numbers(fold.scores),
        "epochs": fold.epochs,
        "best_epoch": fold.best_epoch,
        "curve": {name: list(map(float, series)) for name, series in fold.curve.items()},
        "parameters": fold.parameters,
        "seconds": fold.seconds,
        "probabilities": fold.probabilities,
        "latency": None if fold.latency is None else float(fold.latency),
        "diagnosis": None if fold.diagnosis is None else asdict(fold.diagnosis),
    }


def _diagnosis(value: Json) -> DiagnosisRecord:
    fields = _is(dict, value)
    return DiagnosisRecord(
        symptom=_is(str, fields["symptom"]),
        cause=_is(str, fields["cause"]),
        evidence=tuple(_is(str, sentence) for sentence in _is(list, fields["evidence"])),
        change=_is(str, fields["change"]),
        collapsed=_is(bool, fields["collapsed"]),
    )


def fold_record(row: Sequence[Any]) -> FoldRecord:
    """A record without probabilities, which are most of the bytes and seldom needed."""
    # By position for speed: a study may have tens of thousands of rows.
    trial, repeat, fold, seed, scores, epochs, best_epoch, parameters, seconds, latency, diagnosis, *curve = row
    return FoldRecord(
        trial=_is(int, trial),
        repeat=_is(int, repeat),
        fold=_is(int, fold),
        seed=_is(int, seed),
        scores=_numbers(_is(dict, scores)),
        epochs=_is(int, epochs),
        best_epoch=_is(int, best_epoch),
        curve={name: _floats(series) for name, series in _is(dict, curve[0]).items()} if curve else {},
        parameters=_is(int, parameters),
        seconds=_is(float, seconds),
        latency=_or_none(float, latency),
        diagnosis=None if diagnosis is None else _diagnosis(diagnosis),
    )


def series(curve: Any, name: str) -> tuple[float, ...]:
    """One series of a stored curve."""
    return _floats(_is(dict, curve)[name])


FOLD_COLUMNS = (
    "trial", "repeat", "fold", "seed", "scores", "epochs", "best_epoch", "parameters", "seconds", "latency",
    "diagnosis", "curve",
)  # fmt: skip
"""The columns of `fold_record` in its order; the last one is optional."""


def reference_values(reference: ReferenceRecord) -> Values:
    return {
        "name": reference.name,
        "fold": reference.fold,
        "scores": _numbers(reference.scores),
        "seconds": reference.seconds,
        "probabilities": reference.probabilities,
    }


def reference_record(row: Row[Any]) -> ReferenceRecord:
    return ReferenceRecord(
        name=_is(str, row.name),
        fold=_is(int, row.fold),
        scores=_numbers(_is(dict, row.scores)),
        seconds=_is(float, row.seconds),
        probabilities=row.probabilities,
    )


def choice_values(choice: ChoiceRecord) -> Values:
    return {
        "made": choice.made,
        "trial": choice.trial,
        "members": [
            [trial, float(weight)] if fold is None else [trial, float(weight), fold]
            for (trial, weight), fold in zip(choice.members, choice.left_out or repeat(None), strict=False)
        ],
        "pool": list(choice.pool),
        "folds": choice.folds,
        "seconds": float(choice.seconds),
        "probabilities": choice.probabilities,
    }


def choice_record(row: Row[Any]) -> ChoiceRecord:
    members = [(*member, None) if len(_is(list, member)) == 2 else member for member in _is(list, row.members)]
    return ChoiceRecord(
        made=_is(str, row.made),
        trial=_is(int, row.trial),
        members=tuple((_is(int, trial), _is(float, weight)) for trial, weight, _ in members),
        pool=tuple(_is(int, trial) for trial in _is(list, row.pool)),
        folds=_is(int, row.folds),
        seconds=_is(float, row.seconds),
        probabilities=row.probabilities,
        left_out=tuple(None if fold is None else _is(int, fold) for _, _, fold in members),
    )


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
