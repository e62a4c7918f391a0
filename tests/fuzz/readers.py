"""One property for each reader of what others wrote: it reads, or refuses in words; it never fails otherwise.

Each is a function of pytest and hypothesis; `python -m tests.faults fuzz` gives them many more inputs.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search.data.decoding import FileRemark, Header, Picture, decode, quiet, read_header
from search.data.layout import list_images
from search.errors import UsageError
from search.export.bounds import check_archive
from search.manifest import About, about, remembered
from search.study import config as toml
from search.study.config import FILE, Config, Try, merged
from search.study.config_file import update
from spaces.parameters import SpaceError
from spaces.presets import EXAMPLE, PRESETS, preset
from spaces.space import Space
from storage.codec import decode_array, decode_json, encode_array, encode_json
from tests.fuzz import inputs

tried: Counter[str] = Counter()
"""Reader -> how many inputs it was given."""

IN_MEMORY = next((str(path) for path in [Path("/dev/shm")] if path.is_dir()), None)  # noqa: S108 - folders made safely
"""Where files for one input lie; None: where the system has such."""


@contextmanager
def _file(content: bytes, name: str) -> Iterator[Path]:
    """A file with this content."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


@given(inputs.damaged(inputs.pictures()), st.sampled_from((".png", ".jpg", ".tif", "")))
def test_pictures(content: bytes, ending: str) -> None:
    tried["pictures"] += 1
    with _file(content, f"picture{ending}") as path, quiet():
        header = read_header(path)
        assert isinstance(header, Header | FileRemark)
        picture = decode(path, (8, 9))
        assert isinstance(picture, Picture | FileRemark)
        if isinstance(picture, Picture):
            assert picture.pixels.dtype == np.uint8
            assert picture.pixels.shape in ((8, 9, 1), (8, 9, 3))


@given(inputs.damaged(inputs.arrays()))
def test_stored_arrays(content: bytes) -> None:
    tried["stored arrays"] += 1
    with suppress(ValueError):
        array = decode_array(content)
        again = decode_array(encode_array(array))
        assert again.dtype == array.dtype
        assert again.tobytes() == array.tobytes()


STORED_JSON = (b'{"loss":[0.5,{"$float":"NaN"}],"k":{"$float":"-Infinity"}}', '[["é",null,true,1e5]]'.encode())


@given(inputs.damaged(STORED_JSON))
def test_stored_json(content: bytes) -> None:
    tried["stored JSON"] += 1
    with suppress(ValueError, RecursionError):  # both are told as a damaged row
        value = decode_json(content.decode(errors="replace"))
        assert repr(decode_json(encode_json(value))) == repr(value)


@given(inputs.toml_texts(), st.binary(max_size=3), st.integers(0, 400))
def test_settings_are_read(text: str, more: bytes, place: int) -> None:
    tried["study.toml"] += 1
    content = text.encode("utf-8", "surrogatepass")
    with _file(content[:place] + more + content[place:], FILE) as path, suppress(UsageError):
        assert isinstance(toml.read(path.parent), Config)


@given(inputs.toml_texts(), inputs.changes(), st.lists(st.fixed_dictionaries({"dropout": st.floats(0, 1)}), max_size=2))
def test_settings_that_options_change_read_the_same_but_for_that(
    text: str, changes: Mapping[str, Any], points: list[dict[str, Any]]
) -> None:
    tried["study.toml, changed by options"] += 1
    with _file(text.encode(), FILE) as path:
        try:
            before = tomllib.loads(text.replace("\r\n", "\n"))
        except (ValueError, RecursionError):
            return
        try:
            update(path.parent, changes, [Try(point, "trial 7 of pets") for point in points])
        except UsageError:
            assert path.read_bytes() == text.encode()
            return
        after = tomllib.loads(path.read_text(encoding="utf-8"))
    wanted = merged(before, changes)
    assert _exactly(after) == _exactly({**wanted, **({"try": [*wanted.get("try", []), *points]} if points else {})})


def _exactly(value: Any) -> Any:
    """Of which 1, 1.0 and true differ, and NaN equals itself; the order of keys does not matter."""
    if isinstance(value, Mapping):
        return {key: _exactly(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exactly(inner) for inner in value]
    return type(value).__name__, repr(value)


SPACES = {name: preset(name).space(EXAMPLE) for name in sorted(PRESETS)}


@given(st.sampled_from(sorted(SPACES)), st.data())
def test_spaces_are_narrowed(name: str, data: st.DataObject) -> None:
    tried["[space] of study.toml"] += 1
    space = SPACES[name]
    names = st.sampled_from([p.name for p in space.parameters]) | st.text(max_size=5)
    narrowing = data.draw(st.dictionaries(names, inputs.values, max_size=4))
    with suppress(SpaceError):
        narrowed = space.narrow(narrowing)
        narrowed.check(narrowed.defaults())
        narrowed.check(narrowed.sample(np.random.default_rng(0)))
        assert Space.from_json(json.loads(json.dumps(narrowed.to_json()))) == narrowed


@given(st.sampled_from(sorted(SPACES)).flatmap(lambda name: inputs.changed(SPACES[name].to_json())))
def test_stored_spaces_are_read(stored: Any) -> None:
    tried["stored spaces"] += 1
    with suppress(SpaceError):
        space = Space.from_json(stored)
        space.rows()
        space.defaults()


@given(inputs.damaged(inputs.model_files()))
def test_model_files(content: bytes) -> None:
    tried["model files"] += 1
    _look_at_model(content)


@given(inputs.changed(inputs.ABOUT))
def test_descriptions_in_model_files(said: Any) -> None:
    tried["model files, their description"] += 1
    _look_at_model(inputs.archive(said))


def _look_at_model(content: bytes) -> None:
    with _file(content, "model.keras") as path:
        readers: tuple[Callable[[Path], object], ...] = (check_archive, about, remembered)
        for reader in readers:
            with suppress(UsageError):
                found = reader(path)
                assert not isinstance(found, About) or (len(set(found.classes)) > 1 and min(found.image_shape) > 0)


@given(inputs.trees())
def test_layouts(files: list[tuple[str, ...]]) -> None:
    tried["layouts of folders"] += 1
    root = Path(tempfile.mkdtemp(dir=IN_MEMORY))
    try:
        for parts in files:
            path = root.joinpath(*parts)
            with suppress(OSError, ValueError):  # a file is where a folder is to be, or a name too long
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(os.fsencode(parts[-1]))
        with suppress(UsageError):
            listing = list_images(root)
            assert all(name.encode() for name in (one.shown for one in listing.files)), "a name that cannot be shown"
    finally:
        shutil.rmtree(root, ignore_errors=True)


READERS: tuple[Callable[[], None], ...] = (
    test_pictures,
    test_stored_arrays,
    test_stored_json,
    test_settings_are_read,
    test_settings_that_options_change_read_the_same_but_for_that,
    test_spaces_are_narrowed,
    test_stored_spaces_are_read,
    test_model_files,
    test_descriptions_in_model_files,
    test_layouts,
)
