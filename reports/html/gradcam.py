"""Where the saved model looks, as an image over a thumbnail."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reports.html.svg import tag
from reports.html.thumbnails import as_uri

SIDE = 48  # the longer side, in pixels: it is smooth, so the page may enlarge it
LEVELS = 16  # colours
_CIVIDIS = ((0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 174, 108), (254, 232, 56))
"""Five of the colours of cividis, which looks alike with and without all colours (Nuñez et al., PLOS ONE 13, 2018)."""


def look(of_picture: NDArray[np.uint8], shape: tuple[int, ...]) -> Markup:
    """The image of a map [height, width], in the proportions of a thumbnail of this shape [height, width, channels]."""
    from PIL import Image

    scale = SIDE / max(shape[:2])
    size = max(1, round(scale * shape[1])), max(1, round(scale * shape[0]))
    smooth = np.asarray(Image.fromarray(of_picture).resize(size, Image.Resampling.BILINEAR))
    image = Image.fromarray(np.rint(smooth / 255 * (LEVELS - 1)).astype(np.uint8), "P")
    image.putpalette(_palette().tobytes())
    return tag("img", src=as_uri(image, "PNG"), alt="", class_="over")


def _palette() -> NDArray[np.uint8]:
    """[LEVELS, 3]."""
    places, known = np.linspace(0, 1, LEVELS), np.linspace(0, 1, len(_CIVIDIS))
    return np.stack([np.rint(np.interp(places, known, part)) for part in np.array(_CIVIDIS).T], axis=1).astype(np.uint8)
