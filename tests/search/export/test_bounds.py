"""A model file of a stranger is refused before it takes memory."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from search.errors import UsageError
from search.export.predict import load_model
from tests.search.export.test_predict import saved

Change = Callable[[dict[str, Any]], None]
NOTHING: Mapping[str, bytes] = {}


def rewritten(path: Path, change: Change | None = None, members: Mapping[str, bytes] = NOTHING) -> Path:
    """A copy of the file with another configuration, or other members; all else is kept."""
    target = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            content = members.get(member.filename, old.read(member))
            if change and member.filename == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(member.filename, content)
        for name in members.keys() - set(old.namelist()):
            new.writestr(name, members[name])
    return target


def layer(config: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in config["config"]["layers"] if each["class_name"] == kind)["config"]
    return found


def test_a_model_of_ours_is_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras")
    assert load_model(rewritten(path)).count_params() == load_model(path).count_params()


def wide(config: dict[str, Any]) -> None:
    layer(config, "Dense")["units"] = 10**9


def large(config: dict[str, Any]) -> None:
    layer(config, "InputLayer")["batch_shape"] = [None, 70_000, 70_000, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [(wide, "its network has 8,000,000,000 bytes of weights"), (large, "gives 4,900,000,000 numbers for one image")],
)
def test_a_network_that_is_larger_than_its_file_accounts_for_is_refused(
    tmp_path: Path, change: Change, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        load_model(rewritten(saved(tmp_path / "m.keras"), change))


@pytest.mark.parametrize("name", ["config.json", "more.json"])
def test_a_member_that_unpacks_to_far_more_than_it_has_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} in it would have 64,000,000 bytes"):
        load_model(rewritten(saved(tmp_path / "m.keras"), members={name: b" " * 64_000_000}))


def test_an_encrypted_archive_is_named_as_that(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):  # the flags of every header, there and in the directory
        at = content.find(start)
        while at >= 0:
            content[at + (6 if start == b"PK\x03\x04" else 8)] |= 1
            at = content.find(start, at + 4)
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is encrypted"):
        load_model(path)


def test_what_is_no_archive_is_named_as_that(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"PK" + b"\0" * 100)
    with pytest.raises(UsageError, match="no model of `search export`"):
        load_model(tmp_path / "m.keras")
