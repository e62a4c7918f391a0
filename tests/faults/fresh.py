"""`search …` in a new interpreter, as where the extra `backbone` is not installed: `python -m tests.faults.fresh …`."""

from __future__ import annotations

import sys

from search.__main__ import main
from tests.faults.moments import arrange
from tests.faults.warm import without_packages_of_weights

if __name__ == "__main__":
    arrange()
    without_packages_of_weights()
    sys.argv[0] = "search"
    main()
