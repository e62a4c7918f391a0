"""The sections below the first screen as plain data."""

from __future__ import annotations

from typing import Any

from reports.wording.answer import missing_command
from search.results.costs import Costs, quickest_of_tied, sizes, speeds
from search.results.importance import Figures, figures
from search.results.not_run import NotRun, not_run
from search.results.recall import clearly_least, recalls
from search.results.summary import StudySummary
from search.results.timing import milliseconds


def sections_as_json(data: StudySummary) -> dict[str, Any]:
    """How well each class is recognized, score against time and size, what mattered, and where the time went."""
    rows = recalls(data.pooled.confusion) if data.pooled else ()
    least = clearly_least(rows)
    return {
        "recall": [
            {
                "name": data.study.classes[row.label],
                "images": row.images,
                "recognized": row.found,
                "share": row.share,
                "low": row.low,
                "high": row.high,
                "clearly_least": row is least,
            }
            for row in rows
        ],
        "milliseconds": [
            {"number": number, "milliseconds": value}
            for number, value in sorted(milliseconds(data.preset, data.trials).items())
        ],
        "speed": _costs(speeds(data)),
        "size": _costs(sizes(data)),
        "quickest_of_ties": quickest_of_tied(data),
        "importance": _importance(figures(data)),
        "not_run": _not_run(data),
        "spent": [vars(part) for part in data.spent],
    }


def _costs(costs: Costs | None) -> dict[str, Any] | None:
    """Trials that no other beats in score and cost, cheapest first."""
    if costs is None:
        return None
    front = [{"number": point.number, "score": point.score, "cost": point.cost} for point in costs.front]
    return {"cost": costs.kind, "front": front, "unknown": costs.unknown}


def _importance(weights: Figures) -> dict[str, Any]:
    """Shares of parameters in what sets the best trials apart, largest first; none, with the reason, where unknown."""
    return {
        "method": "PED-ANOVA",
        "trials": weights.weighed,
        "parameters": [
            {
                "name": name,
                "share": share,
                "low": weights.ranges[name][0],
                "high": weights.ranges[name][1],
                "more_than_luck": name in weights.clear,
            }
            for name, share in weights.importance.items()
        ],
        "why_not": weights.no_importance or None,
    }


def _not_run(data: StudySummary) -> dict[str, Any]:
    """What there was no time for, and what makes up for it."""
    left_out = not_run(data)
    command = None if left_out == NotRun() else missing_command(data)
    return {"plain_methods": left_out.plain, "more_pictures": left_out.curve, "command": command}
