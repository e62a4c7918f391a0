"""What a process may take of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.native import memory, memory_limits

LIMITS = {
    "memory.max": "max\n",
    "user.slice/memory.max": "8000\n",
    "user.slice/job.scope/memory.max": "9000\n",
    "memory/memory.limit_in_bytes": "7000\n",
    "memory/slurm/job_7/memory.limit_in_bytes": "3000\n",
    "cpu/slurm/memory.limit_in_bytes": "1\n",
}


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    for name, text in LIMITS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("cgroup", "limits"),
    [
        ("0::/user.slice/job.scope\n", {8000, 9000}),
        ("0::/\n", set()),
        ("9:cpu,cpuacct:/slurm\n4:memory:/slurm/job_7/step_0\n", {7000, 3000}),
        ("4:memory:/docker/0123abcd\n", {7000}),  # seen within the container, whose group is the root there
        ("4:hugetlb,memory:/\n0::/user.slice\n", {7000, 8000}),
        ("0::/user.slice/a:b\n", {8000}),
        ("0::/user.slice/a\u2028b\x0c\udcff\n", {8000}),  # names of groups are any bytes but a line's end
        ("0::/../../x\n", set()),  # of a process that is outside of what its namespace shows
        ("nothing that is known\n", set()),
        ("", set()),
    ],
)
def test_a_limit_of_its_group_or_of_one_around_it_counts(mounted: Path, cgroup: str, limits: set[int]) -> None:
    assert set(memory_limits(cgroup, mounted)) == limits


def test_there_is_some() -> None:
    assert 2**28 < memory() < 2**50
