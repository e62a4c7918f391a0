"""Small presets as keras-hub 0.32 wrote them: names and shapes of their arrays, and what keras-hub computes with them.

Both are in keras_hub.json. The numbers in the arrays follow from their names, so they need not be kept.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRESETS: dict[str, dict[str, Any]] = {}
if (_FILE := Path(__file__).with_name("keras_hub.json")).is_file():
    PRESETS |= json.loads(_FILE.read_text())


def array(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The numbers of an array."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(0, 0.3, shape).astype(np.float32)


def scaled_images(side: int) -> NDArray[np.float32]:
    """Two images, scaled, as keras-hub's network takes them."""
    return np.random.default_rng(side).uniform(-2, 2, (2, side, side, 3)).astype(np.float32)


def make_preset(path: Path, kind: str, *, scale: Any = None, offset: Any = None) -> dict[str, Any]:
    """Write the folder of a preset; returns what is known of it."""
    import h5py

    preset = PRESETS[kind]
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(preset["config"]))
    with h5py.File(path / "model.weights.h5", "w") as file:
        for name, shape in preset["arrays"].items():
            file[name] = array(name, tuple(shape))
        file["layers/counter/vars/0"] = np.arange(3)
    if scale is not None:
        config = {"class_name": "ImageConverter", "config": {"scale": scale, "offset": offset}}
        (path / "image_converter.json").write_text(json.dumps(config))
    return preset
