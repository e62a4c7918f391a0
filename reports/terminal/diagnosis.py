"""Why a network does not learn, in lines for a terminal."""

from __future__ import annotations

from reports.wording import values
from reports.wording.diagnosis import confirmed, headline, outcome, untried
from search.diagnosis.result import Diagnosed, mean_validation


def in_lines(case: Diagnosed) -> list[str]:
    """For the terminal."""
    k = len(case.classes)
    said = [headline(case)]
    for suspect in case.suspects:
        said += [
            f"  {suspect.cause.name}: {values.visible(suspect.cause.evidence)}",
            f"    by experiment: {confirmed(suspect)}",
        ]
    if case.tried:
        said += [
            "",
            f"one change at a time, {values.count(len(case.runs), 'training')} each, or given up after two at chance:",
        ]
        said += [
            f"  {values.number(mean_validation(one.runs), 2):>5}  {values.shortened(one.experiment.change, 60):<60}  "
            f"{outcome(one, k)}"
            for one in (*case.fixes, *case.no_fixes)
        ]
    if case.left_out:
        said.append(f"  {untried(case)}")
    return said
