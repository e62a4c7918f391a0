"""Why a network does not learn, in lines for a terminal."""

from __future__ import annotations

from reports.wording import values
from reports.wording.diagnosis import confirmed, headline, outcome, untried
from search.diagnosis.result import Diagnosed, mean_validation


def in_lines(case: Diagnosed) -> list[str]:
    """The answer, the suspected causes, and the experiments."""
    k = len(case.classes)
    lines = [headline(case)]
    for suspect in case.suspects:
        lines += [
            f"  {suspect.cause.name}: {values.visible(suspect.cause.evidence)}",
            f"    by experiment: {confirmed(suspect)}",
        ]
    if case.tried:
        lines += [
            "",
            f"one change at a time, {values.count(len(case.runs), 'training')} each, or stopped after two at chance:",
        ]
        lines += [
            f"  {values.number(mean_validation(result.runs), 2):>5}  "
            f"{values.shortened(result.experiment.change, 60):<60}  "
            f"{outcome(result, k)}"
            for result in (*case.fixes, *case.no_fixes)
        ]
    if case.left_out:
        lines.append(f"  {untried(case)}")
    return lines
