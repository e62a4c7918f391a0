"""`make faults` runs, and prints a row for each fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.warm import ROOT


@pytest.mark.slow
def test_faults_that_are_named_are_tried_and_nothing_is_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "cut short", "worker killed"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| database cut short \| 2 \| 0 \| 0 \|", done.stdout, re.MULTILINE)
    assert re.search(r"^\| worker killed \(SIGKILL\) \| 2 \| 0 \| 0 \| \d+", done.stdout, re.MULTILINE)
