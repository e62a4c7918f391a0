"""DICOM: windows, inversion, patients, and files that must not be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.data.check import check_images
from search.data.decoding import FileRemark, Picture, decode, quiet, read_header
from search.data.depth import Scale, top_of
from search.data.images import read_images

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

RAW = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
LOSSLESS = "1.2.840.10008.1.2.4.70"


def scan(path: Path, values: NDArray[Any], syntax: str = RAW, **tags: Any) -> Path:
    """Write [height, width], [frames, height, width] or [height, width, 3] with these tags."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    colour = values.shape[-1] == 3 and values.ndim == 3
    height, width = values.shape[:2] if colour else values.shape[-2:]
    bits = 8 * values.dtype.itemsize
    said = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
        "SOPInstanceUID": "1.2.3",
        "Rows": height,
        "Columns": width,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        **({"PlanarConfiguration": 0} if colour else {}),
        **({"NumberOfFrames": len(values)} if values.ndim == 3 and not colour else {}),
        **tags,
    }
    for name, value in said.items():
        setattr(dataset, name, value)
    dataset.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    if syntax == LOSSLESS:
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def grey(path: Path, bits: int = 16) -> tuple[list[int], list[tuple[str, str]]]:
    """The first row of a picture at its own size, and the remarks."""
    with quiet():
        header = read_header(path)
        assert not isinstance(header, FileRemark), header.message
        picture = decode(path, (header.height, header.width), Scale.of_bits(bits))
    assert isinstance(picture, Picture), picture
    remarks = [(remark.kind, remark.message) for remark in (*header.remarks, *picture.remarks)]
    return picture.pixels[0, :, 0].tolist(), remarks


ROW = np.array([[0, 100, 200, 300, 400, 4095]] * 8, np.uint16)


def test_a_window_of_rescaled_values_becomes_0_to_255(tmp_path: Path) -> None:
    path = scan(
        tmp_path / "x.dcm", ROW, BitsStored=12, HighBit=11, RescaleSlope=2, RescaleIntercept=-200, WindowCenter=200,
        WindowWidth=401,
    )  # fmt: skip
    values, remarks = grey(path)
    assert values == [0, 0, 128, 255, 255, 255]  # -200, 0, 200, 400, 600: 0 at -0.5, 255 at 399.5
    assert ("DICOM", "DICOM, grey by its window, centre 200 and width 401.") in remarks


def test_the_first_of_several_windows_and_both_other_functions(tmp_path: Path) -> None:
    two = scan(tmp_path / "two.dcm", ROW, WindowCenter=[200, 9], WindowWidth=[400, 9], VOILUTFunction="LINEAR_EXACT")
    assert grey(two)[0] == [0, 64, 128, 191, 255, 255]
    curve = scan(tmp_path / "curve.dcm", ROW, WindowCenter=200, WindowWidth=400, VOILUTFunction="SIGMOID")
    assert grey(curve)[0] == [round(255 / (1 + np.exp(-4 * (x - 200) / 400))) for x in ROW[0].tolist()]


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    window: dict[str, Any] = {"WindowCenter": 200, "WindowWidth": 401, "PhotometricInterpretation": "MONOCHROME1"}
    values, remarks = grey(scan(tmp_path / "a.dcm", ROW, **window))
    assert values[:3] == [255, 191, 127] and values[-1] == 0
    assert any("inverted, as MONOCHROME1 says" in message for _, message in remarks)
    stored: dict[str, Any] = {"BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": "MONOCHROME1"}
    assert grey(scan(tmp_path / "b.dcm", ROW, **stored), bits=12)[0][::5] == [255, 0]


def test_without_a_window_stored_bits_have_the_scale_of_the_set(tmp_path: Path) -> None:
    path = scan(tmp_path / "x.dcm", ROW, BitsStored=12, HighBit=11)
    values, remarks = grey(path, bits=12)
    assert values == [round(value * 255 / top_of(12)) for value in ROW[0].tolist()]
    assert {kind for kind, _ in remarks} >= {"DICOM", "16-bit"}
    signed = scan(tmp_path / "s.dcm", np.array([[-2048, 0, 2047]] * 8, np.int16), BitsStored=12, HighBit=11)
    assert grey(signed, bits=12)[0] == [0, 128, 255]


def test_colour_palettes_compression_and_frames(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 255, (8, 9, 3), np.uint8)
    with quiet():
        picture = decode(scan(tmp_path / "c.dcm", colours), (8, 9))
    assert isinstance(picture, Picture) and (picture.pixels == colours).all()
    frames = np.stack([np.full((8, 8), value, np.uint8) for value in (7, 8, 9)])
    values, remarks = grey(scan(tmp_path / "f.dcm", frames))
    assert values == [7] * 8
    assert ("animated", "Has more than one frame: only the first is used.") in remarks
    packed = pydicom.dcmread(scan(tmp_path / "r.dcm", ROW, WindowCenter=200, WindowWidth=401))
    before = grey(tmp_path / "r.dcm")[0]
    packed.compress(pydicom.uid.RLELossless)
    packed.save_as(tmp_path / "r.dcm")
    assert grey(tmp_path / "r.dcm")[0] == before


def test_pictures_of_one_patient_stay_in_one_fold_unless_groups_say_otherwise(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(12):
        values = generator.integers(0, 4095, (8, 8), np.uint16)
        scan(tmp_path / "set" / "ab"[number % 2] / f"{number}.dcm", values, PatientID=f"P{number // 4}")
    images = read_images(tmp_path / "set")
    checked = check_images(images, None, Path(), 2)
    assert images.groups == tuple(f"P{int(path[2:-4]) // 4}" for path in images.paths)
    assert "Groups are those of PatientID in the DICOM files; --groups names others." in checked.sentences
    assert len(np.unique(checked.grouping.units)) == 3
    others = check_images(images, "/([0-9]+)", Path(), 2)
    assert len(np.unique(others.grouping.units)) == 12
    assert "--groups says which images stay together; PatientID in the DICOM files is not used." in others.sentences


def test_one_patient_id_for_all_is_not_used(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(12):
        values = generator.integers(0, 4095, (8, 8), np.uint16)
        scan(tmp_path / "set" / "ab"[number % 2] / f"{number}.dcm", values, PatientID="ANONYMOUS")
    checked = check_images(read_images(tmp_path / "set"), None, Path(), 2)
    said = "PatientID in the DICOM files is the same in all, so it tells no patients apart and is not used."
    assert (checked.folds, checked.named) == (2, None) and said in checked.sentences


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"syntax": DEFLATED}, "Deflated Explicit VR Little Endian, which is not read"),
        ({"syntax": LOSSLESS}, "JPEG Lossless"),
        ({"PhotometricInterpretation": "ARGB"}, "16 bits of ARGB, which is not read"),
        ({"BitsAllocated": 32}, "32 bits of MONOCHROME2, which is not read"),
        ({"BitsStored": 40}, "numbers that cannot be"),
        ({"Rows": 60_000, "Columns": 60_000}, "3600 megapixels by its header"),
        ({"Rows": 0}, "numbers that cannot be"),
        ({"Rows": 800}, "Cannot be decoded"),
    ],
)
def test_what_is_not_read_is_named_and_nothing_is_decoded(tmp_path: Path, tags: dict[str, Any], said: str) -> None:
    path = scan(tmp_path / "x.dcm", ROW, **tags)
    with quiet():
        header = read_header(path)
        remark = header if isinstance(header, FileRemark) else decode(path, (8, 8))
    assert isinstance(remark, FileRemark) and said in remark.message, remark


@given(flips=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6), cut=st.integers(0, 2000))
@settings(max_examples=100, deadline=None)
def test_damaged_files_are_a_note(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], cut: int
) -> None:
    path = scan(tmp_path_factory.mktemp("any") / "x.dcm", ROW, WindowCenter=200, WindowWidth=401, PatientID="P1")
    content = bytearray(path.read_bytes())
    for place, value in flips:
        content[place % len(content)] = value
    path.write_bytes(content[:cut] if cut < len(content) else content)
    with quiet():
        header = read_header(path)
        if not isinstance(header, FileRemark):
            assert isinstance(decode(path, (8, 8)), Picture | FileRemark)
