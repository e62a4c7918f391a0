"""Settings for native libraries and the system: environment variables, signals, a way to silence standard error."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": "tensorflow"}
"""Set before TensorFlow is imported. oneDNN is off by default on some processors and worth a third."""

STOPPING = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,  # the terminal is closed
    signal.SIGQUIT,
    signal.SIGUSR1,  # batch schedulers send these three before a time limit
    signal.SIGUSR2,
    signal.SIGXCPU,
)
"""Signals that ask a program to stop. A terminal or a scheduler may send them to all processes of a job: workers, which
end when the search ends them, do not heed them."""


_CGROUP, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def memory() -> int:
    """Bytes of this machine, or of the container, service or batch job in which this runs, if that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError):
        found += memory_limits(os.fsdecode(_CGROUP.read_bytes()), _CGROUPS)
    return min(found)


def memory_limits(cgroup: str, mounted: Path) -> list[int]:
    """Bytes that the groups of a process may take: its own ones, and those around them.

    `cgroup`: the text of /proc/PID/cgroup; `mounted`: where the groups of version 2 are, and of version 1 those of
    memory in a folder; see cgroups(7). Within a container the root may be its own group, whatever the text says.
    """
    limits = []
    for line in cgroup.split("\n"):  # a name may hold any other character, also those at which `splitlines` splits
        _, is_group, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if not is_group or (kinds and "memory" not in kinds.split(",")):
            continue
        root, name = (mounted / "memory", "memory.limit_in_bytes") if kinds else (mounted, "memory.max")
        parts = Path(path).parts[1:]
        for depth in range(len(parts) + 1):
            with suppress(OSError, ValueError):  # 'max': there is none
                limits.append(int(root.joinpath(*parts[:depth], name).read_text()))
    return limits


@contextmanager
def no_stderr() -> Iterator[None]:
    """Discard everything that is written to file descriptor 2: libtiff's warnings, TensorFlow's start messages.

    It silences all threads of the process, so use it for one file, or one import, at a time.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # closed already
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The version of each package that is installed; without one that is run from a checkout, or has another name."""
    from importlib import metadata  # imported here, because --help does not need it

    known = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            known[package] = metadata.version(package)
    return known
