"""Images as thumbnails that are part of a page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from reports.html.svg import tag
from reports.wording import values

if TYPE_CHECKING:
    from PIL import Image

SIDE = 120  # the longer side of a thumbnail at most, in pixels
FINE = 64  # up to which every pixel is kept: icons and drawings


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """A data URI of [height, width, 1 or 3]: PNG up to FINE pixels, else JPEG; made smaller if it is above SIDE."""
    from PIL import Image

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SIDE, SIDE))
    return as_uri(image, "PNG" if max(image.size) <= FINE else "JPEG")


def as_uri(image: Image.Image, kind: str) -> str:
    """A data URI of the image as PNG or JPEG."""
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 82} if kind == "JPEG" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def thumbnail(pixels: NDArray[np.uint8], alt: str) -> Markup:
    """The image with its text for those who do not see it; pixels of small images stay sharp when it is enlarged."""
    uri = data_uri(pixels)
    return tag("img", src=uri, alt=alt, class_="fine" if uri.startswith("data:image/png") else None)


def breakable(text: str) -> Markup:
    """A path in which a line may break after "/" and "_"."""
    escaped = str(escape(values.shortened(text, 90)))
    return Markup(escaped.replace("/", "/<wbr>").replace("_", "_<wbr>"))  # noqa: S704 - escaped above
