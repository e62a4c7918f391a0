"""NVIDIA GPUs: which there are, and which of them a worker sees. TensorFlow is not asked: the parent never imports it.

How CUDA reads CUDA_VISIBLE_DEVICES: https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence

from search.errors import UsageError

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
        found = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return listed(found.stdout)


def made_visible(value: str) -> tuple[str, ...]:
    """The GPUs that a value of CUDA_VISIBLE_DEVICES names: indices and UUIDs up to the first name that is neither.

    So '' and '-1' hide all, and '0,-1,1' all but the first, as CUDA has it.
    """
    found: dict[str, None] = {}
    for name in map(str.strip, value.split(",")):
        if not _NAME.fullmatch(name):
            break
        found[name] = None
    return tuple(found)


def listed(said: str) -> tuple[str, ...]:
    """The UUIDs in what `nvidia-smi -L` says; of a GPU that is divided those of its MIG devices in its place.

    By UUID, since nvidia-smi counts GPUs in another order than CUDA does; and a process can use one MIG device only.
    """
    found: list[list[str]] = []
    for line in said.splitlines():
        if match := _LISTED.match(line):
            kind, uuid = match.groups()
            if kind == "GPU":
                found.append([uuid])
            elif found:
                found[-1].append(uuid)
    return tuple(name for gpu, *parts in found for name in parts or [gpu])


def pinned(worker: int, gpus: Sequence[str]) -> dict[str, str]:
    """What the environment of a worker (from 0) has besides ours: GPUs are dealt out in turn, one to each worker."""
    return {VISIBLE: gpus[worker % len(gpus)]} if gpus else {}


def workers_asked(workers: int | None, per_gpu: int | None) -> int | None:
    """How many workers there shall be; None: as many as is usual here, 0: none. Raises UsageError."""
    if per_gpu is None:
        return workers
    if workers is not None:
        raise UsageError("--workers and --workers-per-gpu both say how many workers there are; give one of them")
    if per_gpu < 1:
        raise UsageError(f"--workers-per-gpu: must be at least 1, got {per_gpu}")
    gpus = visible_gpus()
    if not gpus:
        raise UsageError(
            f"--workers-per-gpu {per_gpu}: no NVIDIA GPU is visible here; see what `nvidia-smi -L` lists and what "
            f"{VISIBLE} is set to, or leave the option out to train on processors"
        )
    return per_gpu * len(gpus)
