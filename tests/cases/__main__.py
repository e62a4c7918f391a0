"""Tries all cases, or those that are named, and prints the table. Ends with 1 if one is wrong."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.cases.images import CASES as OF_IMAGES
from tests.cases.models import CASES as OF_MODELS
from tests.cases.place import Case, Place, WrongError

CASES = sorted((*OF_IMAGES, *OF_MODELS), key=lambda case: case.number)


def tried(case: Case) -> tuple[bool, str]:
    """(whether it did what is right, what happened), in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return True, case.try_it(Place(Path(folder)))
        except WrongError as wrong:
            return False, str(wrong)


def main(numbers: list[str]) -> int:
    """Print a row for each case as it is known."""
    say = sys.stdout.write
    say("| | input | right | what happened | |\n| --- | --- | --- | --- | --- |\n")
    wrong = 0
    for case in CASES:
        if not numbers or case.number in numbers:
            is_right, happened = tried(case)
            wrong += not is_right
            row = (case.number, case.brings, case.right, happened.replace("|", "\\|"), "ok" if is_right else "WRONG")
            say(f"| {' | '.join(row)} |\n")
            sys.stdout.flush()
    say(f"{wrong} wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
