"""Presets of keras-hub by name: downloaded once, by keras-hub and kagglehub, to a folder beside Keras's own weights."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from spaces.backbones import BackboneError
from spaces.backbones.hub import CLASSES

PREFIX = "hub:"
REQUIREMENT = "keras-hub>=0.32"
NAME = re.compile(r"[a-z][a-z0-9_]{0,79}")

_CODE = """
import difflib, shutil, sys
import kagglehub, keras_hub
name, target, *classes = sys.argv[1:]
presets = {}
for one in classes:
    presets |= getattr(keras_hub.models, one).presets
if name not in presets:
    near = difflib.get_close_matches(name, presets, cutoff=0) or presets
    sys.exit(f"it has no such preset of an image network; the nearest names are {', '.join(near)}")
shutil.move(kagglehub.model_download(presets[name]["kaggle_handle"].removeprefix("kaggle://")), target)
"""


def is_name(given: str) -> bool:
    """Whether what a user named is a preset of keras-hub, 'hub:NAME'."""
    return given.startswith(PREFIX)


def cached(name: str) -> Path:
    """Where a preset is, once it was downloaded."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models" / "hub" / name


def download(given: str) -> Path:
    """The folder of 'hub:NAME', downloaded where it is not there yet, in a process of its own.

    Raises BackboneError, with the last line of that process, or with what to install.
    """
    name = given.removeprefix(PREFIX)
    if not NAME.fullmatch(name):
        raise BackboneError(f"'{given[:100]}' is no preset of keras-hub; it is written {PREFIX}NAME")
    folder = cached(name)
    if folder.is_dir():
        return folder
    if not all(map(importlib.util.find_spec, ("keras_hub", "kagglehub"))):
        raise BackboneError(
            f"{given} is downloaded by keras-hub, which is not installed; pip install '{REQUIREMENT}', or download the "
            "preset elsewhere and name its folder"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:  # what is not whole is never at its place
            last = _downloaded(name, Path(temporary))
            if last is None:
                (Path(temporary) / "preset").rename(folder)
    except OSError as error:
        raise BackboneError(f"{given} cannot be kept in {folder.parent}: {error.strerror}") from None
    if last is not None:
        raise BackboneError(f"keras-hub could not download {given}: {last}")
    return folder


def _downloaded(name: str, folder: Path) -> str | None:
    """The last line of what went wrong; None: the preset is in `folder`/preset."""
    # -P: a keras_hub.py in the current folder must not be imported for keras-hub.
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-c", _CODE, name, folder / "preset", *CLASSES],
        env={**os.environ, "KAGGLEHUB_CACHE": str(folder / "cache"), "KERAS_BACKEND": "tensorflow"},
        stdout=2,  # its progress bar, which must not come between lines that a script reads
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode == 0 and (folder / "preset").is_dir():
        return None
    lines = ran.stderr.strip().splitlines()
    last = lines[-1] if lines else "no reason"
    unreachable = re.search(r"ConnectionError|ConnectTimeout|NameResolution|ProxyError", last)
    return "its server cannot be reached from here; download it elsewhere and name its folder" if unreachable else last
