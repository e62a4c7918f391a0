"""The machine of a measurement, without names that identify its owner."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
PACKAGES = ("tensorflow", "keras", "keras-tuner", "optuna", "numpy", "scikit-learn", "sqlalchemy")


def described() -> Iterator[str]:
    """Lines of Markdown."""
    processor = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)$", processor, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)$", processor, re.MULTILINE)
    known_flags = [flag for flag in FLAGS if flags and flag in flags[1].split()]
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield f"- {datetime.now(UTC):%Y-%m-%d}"
    yield f"- {model[1] if model else platform.machine()}, {cores} cores, {', '.join(known_flags) or 'no known flags'}"
    if memory:
        yield f"- {int(memory[1]) / 2**20:.0f} GiB of memory"
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES if _there(name))
    yield f"- {platform.system()}, Python {platform.python_version()}, {versions}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:  # another system
        return ""


def _there(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
