"""Model files whose network is not the one that was saved: they are loaded, or refused in words. Needs TensorFlow."""

from __future__ import annotations

import json
import tempfile
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given

from search.errors import UsageError
from search.export.predict import load_model
from tests.fuzz import inputs
from tests.fuzz.readers import IN_MEMORY, tried
from tests.search.export.test_predict import saved


@cache
def original() -> dict[str, bytes]:
    """What is in the file of a small model."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(saved(Path(folder) / "model.keras")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _config() -> Any:
    return json.loads(original()["config.json"])


@given(inputs.changed(_config()))
def test_networks(config: Any) -> None:
    tried["networks in model files"] += 1
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        path = Path(folder) / "model.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (original() | {"config.json": json.dumps(config).encode()}).items():
                archive.writestr(name, content)
        with suppress(UsageError):
            load_model(path)
