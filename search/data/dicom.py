"""DICOM files for Pillow, read by pydicom: the first frame, as a viewer shows it. No code in a file is run.

Only transfer syntaxes whose sizes are known before decoding are read: uncompressed, RLE, and JPEG and JPEG 2000 by
Pillow. Sizes are checked by `decoding` before pixels are read, as of any format. Formulas: DICOM PS3.3, C.7.6.3.1.2
(photometric interpretation), C.11.1.1.2 (rescale) and C.11.2.1.2 (window).
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FORMAT = "DICOM"
START = 128  # bytes before the letters that a file begins with
LETTERS = b"DICM"
_PLUGINS = {  # transfer syntaxes that are read -> pydicom's decoder
    "1.2.840.10008.1.2": "",
    "1.2.840.10008.1.2.1": "",
    "1.2.840.10008.1.2.2": "",
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG, 8 bits
    "1.2.840.10008.1.2.4.90": "pillow",  # JPEG 2000
    "1.2.840.10008.1.2.4.91": "pillow",
}
_TAGS = (  # all that is read of a file but its pixels
    "Rows Columns BitsAllocated BitsStored PixelRepresentation SamplesPerPixel PhotometricInterpretation "
    "NumberOfFrames PatientID WindowCenter WindowWidth VOILUTFunction RescaleSlope RescaleIntercept "
    "RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor "
    "BluePaletteColorLookupTableDescriptor RedPaletteColorLookupTableData GreenPaletteColorLookupTableData "
    "BluePaletteColorLookupTableData"
)
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR")
_BYTE = 255


def register() -> None:
    """Make Pillow know DICOM from now on. pydicom must be installed."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # what matters becomes a note
    Image.register_open(FORMAT, DicomImageFile)


class DicomImageFile(ImageFile.ImageFile):
    """The first frame of a DICOM file.

    Its mode is 'L', 'RGB', or 'I;16' for grey of more than 8 bits without a window. `info` has `patient` (PatientID)
    and `remarks`, a list of sentences on how values became grey.
    """

    format = FORMAT
    format_description = "DICOM"

    def _open(self) -> None:
        stream: Any = self.fp
        stream.seek(START)
        if stream.read(len(LETTERS)) != LETTERS:
            raise SyntaxError("not DICOM")
        stream.seek(0)
        self._dataset, self._plugin = _header(stream)
        self._mode, self._size = _mode(self._dataset), (int(self._dataset.Columns), int(self._dataset.Rows))
        self.is_animated = int(self._dataset.get("NumberOfFrames") or 1) > 1
        if patient := str(self._dataset.get("PatientID") or "").strip():
            self.info["patient"] = patient
        self.info["remarks"] = [_in_words(self._dataset)]

    def load(self) -> Any:
        """Decode the first frame, once."""
        if self._im is None:
            image = Image.fromarray(_frame(self.fp, self._dataset, self._plugin))
            if image.size != self.size:
                raise OSError(f"its pixels are {image.width} x {image.height}, and its header says otherwise")
            self.im, self._mode = image.im, image.mode
        return super().load()


def _header(stream: Any) -> tuple[Dataset, str]:
    """What a file says of its picture, and how it is decoded. Raises OSError for what is not read."""
    import pydicom
    from pydicom.filereader import read_file_meta_info

    # Before the rest is read: a deflated file would be inflated whole, whatever its size.
    syntax = read_file_meta_info(Path(stream.name)).get("TransferSyntaxUID")
    if syntax not in _PLUGINS:
        name = getattr(syntax, "name", None) or "an unknown transfer syntax"
        raise OSError(f"DICOM as {name}, which is not read: save it uncompressed, as `gdcmconv --raw` does")
    dataset = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(_TAGS.split()))
    kind = str(dataset.get("PhotometricInterpretation"))
    bits = int(dataset.get("BitsAllocated") or 0)
    if kind not in (*_GREY, *_COLOURS) or bits not in (8, 16) or (kind in _COLOURS[:-1] and bits != 8):
        raise OSError(f"DICOM with {bits} bits of {kind}, which is not read: save it as PNG")
    if not 1 <= int(dataset.BitsStored) <= bits or min(int(dataset.Rows), int(dataset.Columns)) < 1:
        raise OSError("a DICOM header with numbers that cannot be")
    return dataset, _PLUGINS[syntax]


def _mode(dataset: Dataset) -> str:
    if dataset.PhotometricInterpretation not in _GREY:
        return "RGB"
    return "L" if _window(dataset) or dataset.BitsStored <= 8 else "I;16"


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """Centre and width of the first window; None where there is none that can be."""
    found = []
    for name in ("WindowCenter", "WindowWidth"):
        value = dataset.get(name)
        if value is None or value == "":
            return None
        first = float(value[0] if isinstance(value, list) or hasattr(value, "__getitem__") else value)
        found.append(first)
    centre, width = found
    return (centre, width) if math.isfinite(centre) and math.isfinite(width) and width >= 1 else None


def _in_words(dataset: Dataset) -> str:
    if dataset.PhotometricInterpretation not in _GREY:
        return "DICOM in colour."
    window = _window(dataset)
    how = f"by its window, centre {window[0]:g} and width {window[1]:g}" if window else "by its stored values"
    inverted = ", inverted, as MONOCHROME1 says" if dataset.PhotometricInterpretation == "MONOCHROME1" else ""
    return f"DICOM, grey {how}{inverted}."


def _frame(stream: Any, dataset: Dataset, plugin: str) -> NDArray[Any]:
    """[height, width] of uint8 or uint16, or [height, width, 3] of uint8."""
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    values: NDArray[Any] = pixel_array(stream, index=0, decoding_plugin=plugin)
    kind = dataset.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        colours: NDArray[Any] = apply_color_lut(values, dataset)
        return colours if colours.dtype == np.uint8 else (colours >> 8).astype(np.uint8)
    if kind not in _GREY:
        return values
    bits, window = int(dataset.BitsStored), _window(dataset)
    top = (1 << bits) - 1
    grey: NDArray[Any]
    if window:
        grey, top = _windowed(values, dataset, *window), _BYTE
    else:
        lowest = -(1 << (bits - 1)) if int(dataset.get("PixelRepresentation") or 0) else 0
        grey = np.clip(values.astype(np.int32) - lowest, 0, top).astype(np.uint16)
        if bits <= 8:
            grey, top = np.rint(grey * (_BYTE / top)).astype(np.uint8), _BYTE
    return grey.dtype.type(top) - grey if kind == "MONOCHROME1" else grey


def _windowed(values: NDArray[Any], dataset: Dataset, centre: float, width: float) -> NDArray[np.uint8]:
    """Values, rescaled as the file says, to 0..255 by a window."""
    slope, intercept = (dataset.get(name) for name in ("RescaleSlope", "RescaleIntercept"))
    real = values.astype(np.float64) * float(1 if slope is None else slope) + float(intercept or 0)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if function == "SIGMOID":
        share = 1 / (1 + np.exp(np.clip(-4 * (real - centre) / width, -500, 500)))
    elif function == "LINEAR_EXACT" or width <= 1:
        share = (real - centre) / width + 0.5
    else:
        share = (real - (centre - 0.5)) / (width - 1) + 0.5
    grey: NDArray[np.uint8] = np.rint(np.clip(share, 0, 1) * _BYTE).astype(np.uint8)
    return grey
