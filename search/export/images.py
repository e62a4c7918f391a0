"""The study's images, read again: by them an export is compared with the study's model, and int8 is calibrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.data.depth import Scale
from search.data.images import read_images
from search.data.room import chosen_pixels
from search.errors import UsageError
from search.manifest import About
from search.study import config as toml
from search.study.folder import StudyFolder

MAX_SAMPLES = 256  # training images by which int8 is calibrated; TensorFlow's guide: 100 to 500


@dataclass(frozen=True)
class StudyImages:
    """Those images of a study that are still there, unchanged."""

    pixels: NDArray[np.uint8]  # [images, height, width, channels], as the model takes them
    labels: NDArray[np.int16]  # [images]
    testing: NDArray[np.bool_]  # [images]
    missing: int = 0  # images of the study that are gone, or were changed

    @property
    def samples(self) -> NDArray[np.uint8]:
        """At most MAX_SAMPLES of those for training, spread over all of them."""
        training = np.flatnonzero(~self.testing)
        chosen = np.linspace(0, len(training) - 1, min(MAX_SAMPLES, len(training))).astype(int)
        samples: NDArray[np.uint8] = self.pixels[training[chosen]]
        return samples


def study_images(folder: StudyFolder, needs: About, progress: Callable[[int, int], None]) -> StudyImages:
    """Read the images of a study as its model takes them. Raises UsageError where none of them is there."""
    origin = toml.read(folder.path).origin(folder.path)
    if gone := next((root for root in origin.roots if not root.exists()), None):
        raise UsageError(
            f"{folder}: its images are not in {gone} any more, and an export is compared with the study's model on "
            f"them; put them back, or correct `images` in {folder.toml}"
        )
    scale = Scale.of_model(needs.grey_bits, needs.grey_window)
    found = read_images(origin, size=needs.image_shape[:2], scale=scale, progress=progress)
    with folder.read() as store:
        known = {(image.path, image.digest): image for image in store.images()}
    both = [(row, known[key]) for row, key in enumerate(zip(found.paths, found.digests, strict=True)) if key in known]
    if not both:
        raise UsageError(
            f"{folder}: {origin.roots[0]} has none of its images any more; correct `images` in {folder.toml}"
        )
    pixels = chosen_pixels(found.pixels, np.array([row for row, _ in both]), found.pixels.shape[3])
    if pixels.shape[3] < needs.image_shape[2]:  # those that are left are all grey
        pixels = np.repeat(pixels, 3, axis=3)
    return StudyImages(
        pixels=pixels,
        labels=np.array([image.label for _, image in both], np.int16),
        testing=np.array([image.testing for _, image in both], np.bool_),
        missing=len(known) - len(both),
    )
