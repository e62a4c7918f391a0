"""One reader by atheris, if that is installed: `python -m tests.fuzz.guided READER SECONDS`."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main(reader: str, seconds: str) -> None:
    """Ends with another code than 0 at the first failure."""
    atheris: Any = importlib.import_module("atheris")  # no types
    with atheris.instrument_imports(include=["search", "storage", "spaces"]):
        from tests.fuzz import readers
    property_: Any = getattr(readers, reader)
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-timeout=60"], property_.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
