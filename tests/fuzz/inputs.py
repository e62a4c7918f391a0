"""What the readers are given: files of ours with a few bytes changed, and texts and values put together at random."""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from search.study.config import Config
from spaces.presets import PRESETS
from storage.codec import encode_array

ODD = (
    0,
    -1,
    1,
    2**31,
    2**64,
    -(2**63),
    1e308,
    1e-320,
    -0.0,
    float("inf"),
    float("nan"),
    True,
    None,
    "",
    "\0",
    "é" * 50,
)
"""Values at the ends of what is possible, and of other types than expected."""


@st.composite
def damaged(draw: st.DrawFn, originals: tuple[bytes, ...]) -> bytes:
    """One of the originals with bytes changed, removed, put in or doubled, or cut short."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 8))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(("flip", "set", "word", "insert", "remove", "double", "cut"))):
            case "flip" if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "set" if data:
                data[place] = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF, 0x3A)))
            case "word":
                number = draw(st.sampled_from((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 65, 5000)))
                size, order = draw(st.sampled_from(((2, "big"), (2, "little"), (4, "big"), (4, "little"))))
                data[place : place + size] = (number % 256**size).to_bytes(size, order)
            case "insert":
                data[place:place] = draw(st.binary(max_size=16))
            case "remove":
                del data[place : place + draw(st.integers(1, 16))]
            case "double":
                data[place:place] = data[place : place + draw(st.integers(1, 64))]
            case "cut":
                del data[place:]
    return bytes(data)


@st.composite
def changed(draw: st.DrawFn, original: Any) -> Any:
    """JSON data with up to four values replaced by odd ones, by copies of others, or removed."""
    data = json.loads(json.dumps(original))
    for _ in range(draw(st.integers(0, 4))):
        at, places = data, list[tuple[Any, Any]]()
        while isinstance(at, dict | list) and at:
            key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            places.append((at, key))
            at = at[key]
            if draw(st.integers(0, 5)) == 0:
                break
        if not places:
            break
        owner, key = places[-1]
        match draw(st.sampled_from(("odd", "copy", "remove"))):
            case "odd":
                owner[key] = draw(values)
            case "copy":
                other, from_key = draw(st.sampled_from(places))
                owner[key] = json.loads(json.dumps(other[from_key], default=str))
            case "remove":
                del owner[key]
    return data


values: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(ODD) | st.integers(-5, 300) | st.floats(-2, 600) | st.text(max_size=8) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(("low", "high", "step", "log", "default", "x")), inner, max_size=4)
    ),
    max_leaves=6,
)


@cache
def pictures() -> tuple[bytes, ...]:
    """Small files in every usual format, kind of pixels and packing."""
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (10, 12), np.uint8), rng.integers(0, 256, (10, 12, 4), np.uint8)
    rgb, rgba = Image.fromarray(colour[..., :3]), Image.fromarray(colour)
    deep = Image.fromarray(rng.integers(0, 65536, (10, 12), np.uint16))
    turned = Image.Exif()
    turned[0x0112], turned[0x010F] = 6, "maker"
    return (
        _file(Image.fromarray(grey), "PNG"),
        _file(rgb, "PNG"),
        _file(rgba, "PNG"),
        _file(deep, "PNG"),
        _file(rgb.quantize(16), "PNG", transparency=3),
        _file(rgb, "JPEG", exif=turned),
        _file(Image.fromarray(grey), "JPEG", progressive=True),
        _file(rgb.convert("CMYK"), "JPEG"),
        _file(
            rgb.quantize(8), "GIF", save_all=True, append_images=[rgb.transpose(Image.Transpose.ROTATE_180).quantize(8)]
        ),
        _file(rgb, "BMP"),
        _file(rgb, "TIFF", compression="tiff_lzw"),
        _file(deep, "TIFF", compression="tiff_deflate"),
        _file(Image.fromarray(grey.astype(np.float32)), "TIFF"),
        _file(rgb, "WEBP"),
        _file(rgba, "WEBP", lossless=True),
        _file(rgb, "PPM"),
    )


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@cache
def arrays() -> tuple[bytes, ...]:
    """Stored arrays of every type and number of axes."""
    rng = np.random.default_rng(0)
    shapes = ((), (3,), (4, 2), (2, 3, 4), (0, 2))
    return tuple(
        encode_array(rng.integers(0, 9, shape).astype(kind)) for shape in shapes for kind in ("f4", "i2", "u1")
    )


ABOUT = {
    "classes": ["cat", "dog"],
    "image_shape": [8, 8, 3],
    "packaging": 2,
    "grey_bits": 16,
    "study": "pets",
    "temperature": 1.5,
    "doubt": 0.02,
    "remembered": {
        "layer": "dense",
        "limit": 0.5,
        "vectors": 3,
        "width": 4,
        "style": {"map": 1, "limit": 0.1, "vectors": 3, "width": 2},
    },
}


@cache
def model_files() -> tuple[bytes, ...]:
    """An archive as `search export` writes it, stored and packed; what is in it is no network."""
    return tuple(archive(ABOUT, packing) for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))


def archive(about: Any, packing: int = zipfile.ZIP_STORED) -> bytes:
    """A model file that says this about itself."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as packed:
        packed.writestr("metadata.json", "{}")
        packed.writestr("config.json", '{"class_name": "Functional"}')
        packed.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(200))
        packed.writestr("smallsearch.json", json.dumps(about))
        packed.writestr("remembered.float16", np.ones(12, "<f2").tobytes())
        packed.writestr("remembered-style.float16", np.ones(6, "<f2").tobytes())
    return stream.getvalue()


# study.toml

KEYS = tuple(field.alias or name for name, field in Config.model_fields.items())
LINES = (
    "trials = 5",
    "trials = 1_000 # many",
    "hours = 1.0",
    "hours = 8",
    'preset = "cnn"',
    "preset = 'question'",
    "seed = 0x1f",
    "flip = false",
    "image_size = [\n  32,\n  48, # wide\n]",
    'groups = """patient([0-9]+)"""',
    "[training]",
    "patience = 3",
    "max_epochs = 9",
    "training.max_epochs = 7",
    "training = { patience = 2, xla = true }",
    "[training.deeper]",
    "[space]",
    "dropout = 0.2",
    "filters = { low = 8, high = 32 }",
    '"dropout" = [0.1, 0.2]',
    "space.l2 = 1e-4",
    "[space.filters]",
    "low = 8",
    "[[try]]",
    "dropout = 0.1 # from pets",
    "try = [{ dropout = 0.3 }]",
    "try = []",
    "[weights]",
    'vgg16 = "vgg16.h5"',
    "[weights.deep]",
    "# a comment",
    "",
    "  \t",
    "when = 2025-01-02T03:04:05Z",
    "odd.'key with space'.x = inf",
    "n = nan",
    "big = 9223372036854775807",
    "a = [1, [2, 3], {x = 1}]",
    "'' = 1",
    '"é\\u0000" = "\\t"',
)


@st.composite
def toml_texts(draw: st.DrawFn) -> str:
    """A study.toml as people write it, and stranger ones; about half of them are TOML."""
    lines = ["images = 'pictures'", *draw(st.lists(st.sampled_from(LINES), max_size=10, unique=True))]
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(lines)))
        lines.insert(place, draw(st.sampled_from(KEYS)) + " = " + draw(st.text(max_size=6)))
    ending = draw(st.sampled_from(("\n", "\n", "\r\n")))
    return ending.join(lines) + draw(st.sampled_from(("", ending)))


CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "trials": st.integers(1, 10_000),
    "hours": st.floats(0.001, 1000) | st.sampled_from((1.0, 8.0)),
    "seed": st.integers(0, 2**31 - 1),
    "folds": st.integers(2, 100),
    "preset": st.sampled_from(sorted(PRESETS)),
    "flip": st.booleans(),
    "groups": st.text(min_size=1, max_size=12),
    "images": st.text(min_size=1, max_size=12),
    "image_size": st.lists(st.integers(8, 1024), min_size=2, max_size=2),
    "training.max_epochs": st.integers(1, 1000),
    "training.precision": st.sampled_from(("float32", "mixed_float16")),
    "space.backbone": st.lists(st.sampled_from(("vgg16", "lite0")), min_size=1, max_size=2),
    "weights.vgg16": st.text(min_size=1, max_size=12),
}
"""What options write into the file."""


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Up to three of them."""
    names = draw(st.lists(st.sampled_from(sorted(CHANGES)), max_size=3, unique=True))
    return {name: draw(CHANGES[name]) for name in names}


# Layouts

NAMES = (
    *("train", "training", "test", "testing", "val", "valid", "validation", "Train", "TEST", "train_ok", "test_ok"),
    *("images", "labels", "masks", "cat", "dog", "Cat", "cats", "class 1", "unknown", "data", ".git", "__MACOSX"),
    *("1", "2", "0", "10", "é", "e\u0301", "\udcff", "a\nb", "<b>", "x" * 200, "..a", "~", "-rf", "a-train", "fold0"),
)
FILES = (
    *("1.png", "2.JPG", "3.jpeg", "4", "readme.txt", "5.tif", "mask_1.png", ".hidden.png"),
    *("6.dcm", "7.csv", "é.png", "8.", "\udcff.png"),
)


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, ...]]:
    """Paths of files: a few folders deep, from few names, so that they often meet."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    folders = st.lists(st.sampled_from(names), max_size=4)
    files = st.tuples(folders, st.sampled_from(FILES)).map(lambda path: (*path[0], path[1]))
    return draw(st.lists(files, max_size=14, unique=True))
