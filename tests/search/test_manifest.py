"""A model file whose description is damaged is refused in words."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from search.errors import UsageError
from search.manifest import ABOUT, about, remembered

SAID = {"classes": ["cat", "dog"], "image_shape": [8, 8, 3], "remembered": {"layer": "dense"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ABOUT, json.dumps(SAID))
    return tmp_path / "model.keras"


@pytest.mark.parametrize(
    ("place", "byte"),
    [
        pytest.param(46, 0xFF, id="packed bytes that cannot be unpacked"),
        pytest.param(6, 0x01, id="said to be encrypted"),
        pytest.param(8, 0x63, id="packed in an unknown way"),
    ],
)
def test_damaged_bytes_are_no_model(path: Path, place: int, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] = byte
    entry = content.index(b"PK\x01\x02")  # what the directory says of it
    if place != 46:
        content[entry + place + 2] = byte
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is no model of `search export`"):
        about(path)
    with pytest.raises(UsageError, match="what it remembers of its training images cannot be read"):
        remembered(path)
