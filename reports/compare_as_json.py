"""What `search compare --json` prints: plain data, for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from reports.as_json import as_json, strict
from search.results.compare import Comparison, Versus

OF_A_STUDY = (
    "study",
    "counts",
    "best",
    "estimate",
    "chosen",
    "test",
    "nested",
    "spent_seconds",
    "versions",
    "searching",
)
"""What is taken over of `search report --json`."""


def comparison_as_json(compared: Comparison) -> dict[str, Any]:
    """Strict JSON: NaN and infinities are null."""
    studies = []
    for name, data, same in zip(compared.names, compared.studies, compared.same_pictures, strict=True):
        whole = as_json(data)
        of_study = {key: whole[key] for key in OF_A_STUDY}
        studies.append({"path": name, "same_pictures": same, "trials": len(data.rows), **of_study})
    raw = {
        "studies": studies,
        "settings": [{"name": row.name, "values": list(row.values)} for row in compared.settings],
        "against_first": [_versus(compared, versus) for versus in compared.versus],
    }
    plain: dict[str, Any] = strict(raw)
    return plain


def _versus(compared: Comparison, versus: Versus) -> dict[str, Any]:
    found = {"out_of_fold": versus.by_folds, "testing": versus.by_testing}
    return {
        "path": compared.names[versus.study],
        **{key: {**asdict(one), "clear": one.clear} if one else None for key, one in found.items()},
        "why_not": list(versus.why_not),
    }
