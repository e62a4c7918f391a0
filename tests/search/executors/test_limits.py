"""When a job that is running is given up."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from search.executors.devices import kept, resident
from search.executors.limits import Limits, Use, Watch, use_of
from search.executors.reaper import below, processes
from search.jobs import FailureCause

LIMITS = Limits(silence=600, idle=300, memory=4e9)
GB = 10**9


def first_end(watch: Watch, looks: int, use: Use | None = None, rate: float = 1.0, every: float = 10.0) -> int | None:
    """After how many looks it is given up, each `every` seconds after the one before; None if it is not.

    `rate`: processor time used per second.
    """
    for look in range(1, looks + 1):
        seen = use or Use(look * every * rate, GB)
        if watch.look(every, seen):
            return look
    return None


def test_a_job_that_shows_progress_may_take_any_time() -> None:
    watch = Watch(LIMITS)
    for _ in range(100):
        assert first_end(watch, 59) is None
        watch.sign()


def test_a_job_that_works_without_progress_is_given_up_after_the_limit() -> None:
    watch = Watch(LIMITS)
    assert first_end(watch, 1000) == 60
    assert watch.given_up == (FailureCause.HUNG, "made no progress for 10m")


def test_a_job_may_be_silent_for_five_times_as_long_as_a_finished_one_of_its_kind() -> None:
    assert first_end(Watch(LIMITS, known=200), 1000) == 100
    assert first_end(Watch(LIMITS, known=20), 1000) == 60


def test_the_longest_silence_is_noted_for_the_next_job() -> None:
    watch = Watch(LIMITS)
    for looks in (3, 25, 7):
        first_end(watch, looks)
        watch.sign()
    assert watch.longest == 250


def test_a_limit_of_a_fold_run_counts_from_when_its_worker_is_ready() -> None:
    limits = replace(LIMITS, whole=100)
    assert first_end(Watch(limits), 1000) == 10
    fresh = Watch(limits, ready=False)
    assert first_end(fresh, 50) is None
    fresh.sign()
    assert first_end(fresh, 1000) == 10
    assert fresh.given_up == (FailureCause.TOO_LONG, "took longer than the fold limit of 1m40s")


def test_what_earlier_tries_spent_on_a_fold_run_counts_too() -> None:
    """Else one that is stopped and goes on each night would have no limit."""
    watch = Watch(replace(LIMITS, whole=100))
    watch.sign(before=70)
    assert first_end(watch, 1000) == 3
    assert watch.given_up == (FailureCause.TOO_LONG, "took longer than the fold limit of 1m40s")


def test_a_job_that_waits_without_doing_anything_is_given_up_sooner() -> None:
    watch = Watch(LIMITS)
    assert first_end(watch, 1000, Use(7.0, GB)) == 31
    assert watch.given_up == (FailureCause.HUNG, "did nothing for 5m")


@pytest.mark.parametrize(("rate", "ends"), [(0.01, 60), (0.002, 31)])
def test_little_processor_time_is_work_and_next_to_none_is_not(rate: float, ends: int) -> None:
    assert first_end(Watch(LIMITS), 1000, rate=rate) == ends


def test_processor_time_that_vanishes_with_a_process_is_a_change_too() -> None:
    watch = Watch(LIMITS)
    for seconds in (100.0, 60.0, 100.0):
        assert first_end(watch, 19, Use(seconds, GB)) is None


def test_where_the_system_tells_nothing_progress_decides_alone() -> None:
    watch = Watch(LIMITS)
    assert [watch.look(100, None) is None for _ in range(6)] == [True] * 5 + [False]


def test_more_than_its_share_of_memory_and_a_quarter_is_too_much_at_once() -> None:
    assert Watch(LIMITS).look(1, Use(1, 5 * GB)) is None
    watch = Watch(LIMITS)
    assert watch.look(1, Use(1, 6 * GB)) == (FailureCause.OUT_OF_MEMORY, "held 6.0 GB of memory, and may take 5.0 GB")


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_what_a_process_and_its_children_use_is_counted_together() -> None:
    work = "import os, time; x = bytearray(50_000_000); sum(range(5_000_000)); os.fork()"
    work += "; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", work], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(2):
            process.stdout.readline()
        among = processes()
        assert process.pid in below(os.getpid(), among)
        each, once = use_of(process.pid, among), use_of(process.pid, among, above=0)
        assert each is not None and once is not None
        assert each.seconds > 0
        assert each.memory > 90_000_000 > once.memory > 50_000_000  # the array's pages are shared
        for number in (*below(process.pid, among), process.pid):
            os.kill(number, 9)
    assert use_of(process.pid, processes()) is None


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_pages_of_files_are_not_held_against_a_process(tmp_path: Path) -> None:
    """The system takes them back when it needs them: pixels that are mapped may be larger than memory."""
    (tmp_path / "pixels").write_bytes(bytes(80_000_000))
    work = f"import mmap, time; f = open({str(tmp_path / 'pixels')!r}, 'rb')"
    work += "; m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); m.find(b'x'); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", work], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        among = processes()
        each, once = use_of(process.pid, among), use_of(process.pid, among, above=0)
        assert each is not None and once is not None
        assert min(each.memory, resident(process.pid)) > 80_000_000
        assert max(once.memory, kept(process.pid)) < 40_000_000
        process.kill()
