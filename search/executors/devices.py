"""What this machine has: NVIDIA GPUs, processor cores, memory. And which GPUs a worker sees.

TensorFlow is not asked: the parent never imports it. How CUDA reads CUDA_VISIBLE_DEVICES:
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

VISIBLE = "CUDA_VISIBLE_DEVICES"
_NAME = re.compile(r"\d+|GPU-.+|MIG-.+")
_LISTED = re.compile(r"\s*(GPU|MIG) .*\(UUID: ([^)]+)\)")


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, each by a name that CUDA_VISIBLE_DEVICES takes. Not checked for existence."""
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

    So '' and '-1' hide all, and '0,-1,1' all but the first, as CUDA has it.
    """
    names: dict[str, None] = {}
    for name in map(str.strip, value.split(",")):
        if not _NAME.fullmatch(name):
            break
        names[name] = None
    return tuple(names)


def listed(listing: str) -> tuple[str, ...]:
    """The UUIDs in the output of `nvidia-smi -L`; of a divided GPU those of its MIG devices in its place.

    By UUID, since nvidia-smi counts GPUs in another order than CUDA does; and a process can use one MIG device only.
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
    """What the environment of a worker (from 0) has besides ours: GPUs are dealt out in turn, one to each worker."""
    return {VISIBLE: gpus[worker % len(gpus)]} if gpus else {}


def resident(pid: int) -> int:
    """Bytes of a process that are in memory; 0 where the system does not say so as Linux does."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def default_workers() -> tuple[int, tuple[str, ...]]:
    """(workers, GPUs): one worker a visible NVIDIA GPU, else one a core this process may use."""
    gpus = visible_gpus()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return len(gpus) or cores, gpus


def memory_for_each(workers: int) -> int:
    """Bytes a worker may use: 70 % of this machine's memory, shared out."""
    return math.floor(0.7 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / workers)
