"""Small versions of a few of a study's images, read again from their folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from search.data.decoding import MAX_PIXELS, FileRemark, decode, quiet, read_header
from search.data.depth import FULL, Scale
from search.data.places import Place
from storage.records import ImageRecord

SIDE = 96  # the longer side, in pixels; smaller images stay as they are
MOST_PIXELS = 8 * MAX_PIXELS  # decoded for one report: 33 photographs of 12 megapixels, all images of usual sets


def thumbnails(
    roots: Sequence[Place], images: Iterable[ImageRecord], scale: Scale = FULL, most: int = MOST_PIXELS
) -> dict[int, NDArray[np.uint8]]:
    """Row -> [height, width, 1 or 3] of the images that are still there, upright, in their own proportions.

    An image whose pixels are no longer those of the study is left out, and so is a file that is not within its root:
    the database of a stranger may name any file of the user, but it does not know the digest of its pixels. Of large
    images only the first are read, `most` pixels in all.
    """
    found: dict[int, NDArray[np.uint8]] = {}
    with quiet():
        for image in images:
            file = next((file for root in roots if (file := root.file_of(image.path))), None)
            header = read_header(file) if file else None
            if file is None or header is None or isinstance(header, FileRemark):
                continue
            most -= header.height * header.width
            if most < 0:
                break
            share = min(1.0, SIDE / max(header.height, header.width))
            size = max(1, round(share * header.height)), max(1, round(share * header.width))
            picture = decode(file, size, scale)
            if not isinstance(picture, FileRemark) and picture.digest == image.digest:
                found[image.row] = picture.pixels
    return found
