"""`search …` in a new interpreter, as where the extra `backbone` is not installed: `python -m tests.faults.fresh …`."""

from __future__ import annotations

import os
import select
import sys
import time

from search.__main__ import main
from tests.faults.moments import arrange
from tests.faults.warm import without_packages_of_weights

if __name__ == "__main__":
    if os.environ.pop("LD_PRELOAD", ""):
        # Once libfaketime has set the clock it fails `time.sleep`, which sleeps until a time of the monotonic clock.
        vars(time)["sleep"] = lambda seconds: select.select((), (), (), seconds)
    arrange()
    without_packages_of_weights()
    sys.argv[0] = "search"
    main()
