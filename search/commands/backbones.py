"""`search backbones`: the pre-trained networks that are at hand here, and how to get the others."""

from __future__ import annotations

import contextlib
import os

import numpy as np
from numpy.typing import NDArray

from search.commands.session import Display
from search.native import ENVIRONMENT, no_stderr
from search.results.backbones import ListedBackbone
from search.study.available_backbones import TITLES, Unavailable, every_backbone
from search.worker.latency import milliseconds_an_image
from spaces.backbones import Backbone, BackboneError

SIDE, IMAGES = 128, 4  # pixels, and random images: enough to compare networks


def backbones(*, display: Display) -> tuple[ListedBackbone, ...]:
    """Every network, the preferred one first; each that is at hand is loaded and measured, which takes seconds."""
    found = every_backbone()
    at_hand = [backbone for backbone in found.values() if not isinstance(backbone, Unavailable)]
    listed = {
        name: ListedBackbone(name, TITLES[name], missing=one.reason)
        for name, one in found.items()
        if isinstance(one, Unavailable)
    }
    with display.training() as progress:
        for number, backbone in enumerate(at_hand, 1):
            progress("measuring networks", number, len(at_hand))
            listed[backbone.name] = _measured(backbone)
    return tuple(listed[name] for name in found)


def _measured(backbone: Backbone) -> ListedBackbone:
    """Raises nothing: weights that were gone or damaged a moment later are not at hand."""
    try:
        milliseconds = _milliseconds(backbone)
    except BackboneError as error:
        return ListedBackbone(backbone.name, backbone.title, missing=str(error))
    facts = (backbone.source, backbone.licence, backbone.sha256, backbone.bytes)
    return ListedBackbone(backbone.name, backbone.title, *facts, milliseconds)


def _milliseconds(backbone: Backbone) -> float:
    os.environ.update(ENVIRONMENT)
    with no_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")  # looks for them, which it says
    with contextlib.suppress(RuntimeError):  # this process has used TensorFlow before
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    pixels: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    backbone.features(pixels, SIDE)  # builds it and traces
    return milliseconds_an_image(lambda: backbone.features(pixels, SIDE), IMAGES)
