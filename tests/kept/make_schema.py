"""Makes the database of one revision of the tables, with the code of that time, and what that code reads from it.

`git archive COMMIT storage tests | tar -x -C OLD; PYTHONPATH=OLD python tests/kept/make_schema.py FOLDER` writes
`NNNN.db` and `NNNN.json`. It runs the `storage` and `tests/storage/examples.py` of OLD, so it uses what all had.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from storage import Store, TrialState, records, schema
from tests.storage import examples


def main(folder: Path) -> None:
    """Three complete trials, one that failed, one pruned after a fold, one open; and all else that there was."""
    path = folder / f"{schema.HEAD}.db"
    with examples.make(path) as store:
        _add_trials(store)
        if hasattr(store, "add_reference"):
            for fold in range(examples.FOLDS):
                store.add_reference(examples.reference("majority", fold), run=0, seconds=9)
        if hasattr(store, "add_choice"):
            weights, said = ((0, 0.25), (2, 0.75)), examples.probabilities(7)
            choice = records.ChoiceRecord("2025-01-02T05:00:00+00:00", 2, weights, (2, 0), 11, 1.5, said)
            store.add_choice(choice, run=0, seconds=10)
        store.end_run(0, "stopped", 11.5)
        store.start_run(examples.RUN)
    with Store.open(path, read_only=True) as store:
        (folder / f"{schema.HEAD}.json").write_text(json.dumps(read(store), ensure_ascii=False, indent=1) + "\n")


def _add_trials(store: Store) -> None:
    examples.fill(store, 3)
    fields = records.FoldRecord.__dataclass_fields__
    known: dict[str, Any] = {"latency": 1.25} if "latency" in fields else {}
    if "diagnosis" in fields:
        signs = ("loss stayed at ln 2", "no gradient")
        known["diagnosis"] = records.DiagnosisRecord(
            "stuck at chance", "learning rate too small", signs, "raise it", True
        )
    for number in (3, 4, 5):
        store.add_trial(examples.trial(number), run=0, seconds=5)
    store.close_trial(3, TrialState.FAILED, "out of memory", "it did not fit")
    store.add_fold(
        examples.fold(4, 0, **known), run=0, seconds=6, close=(TrialState.PRUNED, "stuck at chance", "fold 1")
    )
    store.add_fold(examples.fold(5, 0), run=0, seconds=7)


def read(store: Store) -> dict[str, Any]:
    """All that a store has, as plain values."""
    found: dict[str, Any] = {
        "study": store.study(),
        "images": store.images(),
        "splits": store.splits(),
        "trials": store.trials(),
        "probabilities": {number: store.probabilities(number) for number in range(6)},
        "runs": store.runs(),
    }
    for name in ("references", "choices"):
        if hasattr(store, name):
            found[name] = getattr(store, name)()
    return {name: plain(value) for name, value in found.items()}


def plain(value: Any) -> Any:
    """As JSON has it; a float by its `repr`, because a NaN equals nothing."""
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, float) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
