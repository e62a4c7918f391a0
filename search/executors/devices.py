"""The NVIDIA GPUs, processor cores and memory of this machine, and which GPUs a worker sees.

TensorFlow is not used for this: the parent process never imports it. How CUDA reads CUDA_VISIBLE_DEVICES:
https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from search.executors.workers import USABLE, Machine
from search.native import memory

VISIBLE = "CUDA_VISIBLE_DEVICES"
_NAME = re.compile(r"\d+|GPU-.+|MIG-.+")
_LISTED = re.compile(r"\s*(GPU|MIG) .*\(UUID: ([^)]+)\)")


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, by names valid in CUDA_VISIBLE_DEVICES. Not checked for existence."""
    value = os.environ.get(VISIBLE)
    if value is not None:
        return made_visible(value)
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        listing = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return listed(listing.stdout)


def made_visible(value: str) -> tuple[str, ...]:
    """The GPUs that a value of CUDA_VISIBLE_DEVICES names: indices and UUIDs up to the first name that is neither.

    As in CUDA, '' and '-1' hide all, and '0,-1,1' all but the first.
    """
    names: dict[str, None] = {}
    for name in map(str.strip, value.split(",")):
        if not _NAME.fullmatch(name):
            break
        names[name] = None
    return tuple(names)


def listed(listing: str) -> tuple[str, ...]:
    """The UUIDs in the output of `nvidia-smi -L`; for a partitioned GPU those of its MIG devices instead.

    UUIDs, because nvidia-smi and CUDA number GPUs differently; a process can use only one MIG device.
    """
    gpus: list[list[str]] = []  # each with its MIG devices
    for line in listing.splitlines():
        if match := _LISTED.match(line):
            kind, uuid = match.groups()
            if kind == "GPU":
                gpus.append([uuid])
            elif gpus:
                gpus[-1].append(uuid)
    return tuple(name for gpu, *parts in gpus for name in parts or [gpu])


def pinned(worker: int, gpus: Sequence[str]) -> dict[str, str]:
    """Environment variables for a worker (counted from 0): workers get one GPU each, in turn."""
    return {VISIBLE: gpus[worker % len(gpus)]} if gpus else {}


def resident(pid: int) -> int:
    """Resident memory of a process in bytes; 0 on systems other than Linux."""
    return _pages(pid)[0]


def kept(pid: int) -> int:
    """As `resident`, without the pages of files that it maps: the system takes those back when it needs them."""
    every, of_files = _pages(pid)
    return every - of_files


def _pages(pid: int) -> tuple[int, int]:
    """(Resident, of these of files and shared memory), in bytes: see proc(5), statm."""
    try:
        _, resident_, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0, 0
    size = os.sysconf("SC_PAGE_SIZE")
    return int(resident_) * size, int(shared) * size


def killed_for_memory() -> int:
    """How many processes the system has killed since it started because it had no memory left; 0 if it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_machine() -> Machine:
    """What workers here share."""
    return Machine(cores(), memory(), len(visible_gpus()))


def default_workers() -> tuple[int, tuple[str, ...]]:
    """(workers, GPUs): the most that `choose` gives, one per visible NVIDIA GPU, else one per core."""
    gpus = visible_gpus()
    return len(gpus) or cores(), gpus


def memory_for_each(workers: int) -> int:
    """Bytes a worker may use: an equal share of what all may take of this machine's memory."""
    return math.floor(USABLE * memory() / workers)
