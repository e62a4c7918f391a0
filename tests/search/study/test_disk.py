"""The disk of a study: room, and network file systems."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search.errors import UsageError
from search.study import disk
from search.study.disk import LEAST_FREE, check_room, remarks_on

MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:33 / /home rw,relatime shared:5 - nfs4 server:/home rw,vers=4.2
41 40 0:34 / /home/me/local\\040disk rw - xfs /dev/sdb rw
42 27 0:35 / /mnt/share rw - fuse.sshfs me@there:/ rw
43 27 0:36 / /cluster rw - gpfs cluster rw
44 27 0:37 / /of/host rw - vboxsf host rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/study", None),
        ("/home/me/study", "nfs4"),
        ("/home/me/local disk/study", None),
        ("/homework/study", None),
        ("/mnt/share/study", "fuse.sshfs"),
        ("/cluster/study", "gpfs"),
        ("/of/host/study", "vboxsf"),
    ],
)
def test_a_network_file_system_is_named(folder: str, kind: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    found = remarks_on(Path(folder), MOUNTS)
    assert len(found) == (kind is not None)
    assert all(f"({kind})" in remark and "--dir" in remark for remark in found)


def test_a_local_disk_has_no_remark_and_room(tmp_path: Path) -> None:
    check_room(tmp_path / "not" / "made" / "yet")


def test_a_disk_that_is_nearly_full_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (2 * LEAST_FREE, LEAST_FREE + 1, LEAST_FREE - 1))
    with pytest.raises(UsageError, match=r"has 100 MB free, and a search needs at least 100 MB"):
        check_room(tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_study_that_has_begun_is_not_advised_to_be_made_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (2 * LEAST_FREE, LEAST_FREE + 1, LEAST_FREE - 1))
    with pytest.raises(UsageError, match="move the study to another disk") as raised:
        check_room(tmp_path, begun=True)
    assert "--dir" not in str(raised.value)


def test_a_file_system_that_does_not_say_its_size_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (0, 0, 0))
    check_room(tmp_path)


def test_mount_points_of_any_bytes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mounts").write_bytes(MOUNTS.replace("/mnt/share", "/mnt/stra\xdfe").encode("latin-1"))
    monkeypatch.setattr(disk, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(Path, "exists", lambda _: True)
    assert len(remarks_on(Path("/home/me/study"))) == 1
