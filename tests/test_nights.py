"""The recipes of docs/nights.md, as far as they can be tried without root and without a cluster."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from search.session.signals import RESUMABLE
from tests.commands import fold_rows, trials_of, wait_until, workers_of
from tests.warm import ROOT

RECIPES = ROOT / "examples" / "nights"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with `search`, and a scheduler's `scontrol` that notes what it is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in {
        "search": f'PYTHONPATH={ROOT} exec {sys.executable} -m search "$@"',
        "scontrol": f'echo "$@" >>{tmp_path}/asked',
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_the_unit_is_one_that_systemd_accepts(programs: Path, tmp_path: Path) -> None:
    unit = tmp_path / "search.service"
    text = (RECIPES / "search.service").read_text()
    unit.write_text(text.replace("%h/venv/bin", str(programs)))
    verified = subprocess.run(
        ["systemd-analyze", "--user", "--man=no", "verify", unit],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_line_for_cron_is_one_that_a_shell_accepts() -> None:
    (line,) = [line for line in (RECIPES / "crontab").read_text().splitlines() if not line.startswith("#")]
    fields = line.split(maxsplit=5)
    assert fields[:5] == ["0", "22", "*", "*", "*"]
    assert "%" not in fields[5], "cron ends the command there"
    subprocess.run(["sh", "-n", "-c", fields[5]], check=True)


@pytest.mark.parametrize("array", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_job_that_is_told_of_its_limit_stops_the_search_and_is_queued_again_until_it_is_done(
    programs: Path, pictures: Path, tmp_path: Path, array: bool
) -> None:
    """As SLURM does it: SIGUSR1 to the script alone, or SIGCONT and SIGTERM to all that it started."""
    script, study = tmp_path / "search.slurm", tmp_path / ("study-3" if array else "study")
    small = "--preset cnn --folds 2 --epochs 2 --trials 1000 --quiet"
    script.write_text((RECIPES / "search.slurm").read_text().replace("--quiet", small))
    of_scheduler = {"SLURM_JOB_ID": "17", "SLURM_CPUS_PER_TASK": "1", "PICTURES": str(pictures)}
    of_scheduler |= {"SLURM_ARRAY_JOB_ID": "16", "SLURM_ARRAY_TASK_ID": "3"} if array else {}
    environment = os.environ | of_scheduler | {"PATH": f"{programs}:{os.environ['PATH']}"}
    job = subprocess.Popen(["bash", script], cwd=tmp_path, env=environment, start_new_session=True)
    wait_until(lambda: bool(fold_rows(study)))
    if array:
        for number in (signal.SIGCONT, signal.SIGTERM):
            os.killpg(job.pid, number)
    else:
        job.send_signal(signal.SIGUSR1)
    assert job.wait(60) == RESUMABLE
    assert (tmp_path / "asked").read_text() == f"requeue {'16_3' if array else '17'}\n"
    assert workers_of(study) == []

    done = len(trials_of(study))
    script.write_text(script.read_text().replace("--trials 1000", f"--trials {done}"))
    again = subprocess.run(["bash", script], cwd=tmp_path, env=environment, check=False)
    assert again.returncode == 0
    assert (tmp_path / "asked").read_text().count("requeue") == 1
