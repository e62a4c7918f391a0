"""The disk of a study: whether it has room, and whether a database is safe on it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from search.errors import UsageError

LEAST_FREE = (
    100 * 2**20
)  # bytes: results and models of a usual study have 5 to 50 MB, pixels and features as much again
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|glusterfs|lustre|gpfs|beegfs|virtiofs|vboxsf|wekafs|"
    r"fuse\.(sshfs|s3fs|rclone|gcsfuse|glusterfs|ceph)"
)
_MOUNTS = Path("/proc/self/mountinfo")


def check_room(folder: Path, *, begun: bool = False) -> None:
    """Raises UsageError if the disk of a folder that exists, or is to be made, has hardly any room.

    `begun`: whether the study has, and so cannot be made elsewhere.
    """
    try:
        total, _, free = shutil.disk_usage(_there(folder))
    except OSError:  # unknown: writing will tell
        return
    if total and free < LEAST_FREE:  # some network file systems say 0 of 0
        other = "move the study to another disk" if begun else "name a folder on another disk with --dir"
        raise UsageError(
            f"{folder}: its disk has {free / 2**20:.0f} MB free, and a search needs at least {LEAST_FREE / 2**20:.0f} "
            f"MB; free some space, or {other}"
        )


def remarks_on(folder: Path, mounts: str | None = None) -> tuple[str, ...]:
    """A sentence if the folder is on a network file system, else none. `mounts`: as in /proc/self/mountinfo."""
    try:
        known = _MOUNTS.read_text("utf-8", "surrogateescape") if mounts is None else mounts  # names may be any bytes
        kind = _file_system(_there(folder).resolve(), known)
    except OSError:  # not Linux
        return ()
    if not _NETWORK.fullmatch(kind):
        return ()
    return (
        f"{folder} is on a network file system ({kind}), where locks of files and the database's log are not to be "
        "relied on; keep the study on a local disk (--dir)",
    )


def _there(folder: Path) -> Path:
    """The folder, or the nearest one around it that exists."""
    return next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)


def _file_system(path: Path, mounts: str) -> str:
    """The type of the file system that a path is on; '' if unknown. See proc(5)."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:  # of two on one point the later one is seen
            best, kind = len(point.parts), after.split()[0]
    return kind
