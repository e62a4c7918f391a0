"""study.toml as editors leave it: read as it is meant, or named with its line; an option changes nothing else in it."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from search.errors import UsageError
from search.study import config as toml
from search.study import config_file
from search.study.config import FILE, Try, merged
from tests.search.shapes import refusal

TEXT = "images = '../né'  # pictures\n\tseed\t=\t5\n\n[training]\npatience = 3\n"
MARKED = {
    "plain": TEXT.encode(),
    "mark": codecs.BOM_UTF8 + TEXT.encode(),
    "windows": TEXT.replace("\n", "\r\n").encode(),
    "notepad": codecs.BOM_UTF8 + TEXT.replace("\n", "\r\n").encode(),
    "utf-16": TEXT.encode("utf-16"),
    "utf-16-be": codecs.BOM_UTF16_BE + TEXT.replace("\n", "\r\n").encode("utf-16-be"),
    "utf-32": TEXT.encode("utf-32"),
    "no last line end": TEXT.rstrip().encode(),
}


@pytest.mark.parametrize("kind", MARKED)
def test_what_editors_save_is_read_and_an_option_leaves_all_else(tmp_path: Path, kind: str) -> None:
    (tmp_path / FILE).write_bytes(MARKED[kind])
    before = toml.read(tmp_path)
    assert (before.images, before.seed, before.training.patience) == ("../né", 5, 3)
    config_file.update(tmp_path, {"seed": 5})
    assert (tmp_path / FILE).read_bytes() == MARKED[kind], "nothing was changed"
    config_file.update(tmp_path, {"trials": 7, "training.max_epochs": 9})
    after = (tmp_path / FILE).read_bytes().decode("utf-8")
    assert tomllib.loads(after) == merged(tomllib.loads(TEXT), {"trials": 7, "training.max_epochs": 9})
    assert "# pictures" in after
    assert (after.count("\r\n") == after.count("\n")) == (b"\r" in MARKED[kind])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("trials = 3\nimages = “p”\n", r"at line 2, .*: “ \(U\+201C\) must be \"; correct that line"),
        ("images = \u2018p\u2019\n", r"at line 1, .*: \u2018 \(U\+2018\) must be '"),
        ("images = 'p'\nhours\u00a0= 3\n", r"line 2, .* \(U\+00A0\) must be a space"),
        ("seed = \u22123\n", r"line 1, .*: \u2212 \(U\+2212\) must be -"),
        ("# “quotes” in a comment do no harm\nseed = three\n", r"at line 2, column 8\); correct that line"),
        ("seed = 1\n\ufeffimages = 'p'\n", r"line 2, .*\(U\+FEFF\) must be left out"),
    ],
)
def test_a_letter_that_only_looks_right_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        toml.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("images = 'né'".encode("latin-1"), "byte 0xe9 in line 1 is not; save it as UTF-8"),
        (b"seed = 1\r\nimages = 'p'\r\n# \xa9\r\n", "byte 0xa9 in line 3 is not; save it as UTF-8"),
        ("images = 'p'".encode("utf-16-le"), "has null bytes, as UTF-16 without a byte order mark has: save it as"),
        (codecs.BOM_UTF16_LE + b"a", "is not TOML, which is UTF-8"),
    ],
)
def test_what_is_no_text_is_named_by_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert message in refusal(lambda: toml.read(tmp_path))
    assert message in refusal(lambda: config_file.update(tmp_path, {"trials": 3}))
    assert (tmp_path / FILE).read_bytes() == content


# Changing any file


VALUES = {"trials": ("3", "1_000", "0x10"), "hours": ("1.5", "2"), "seed": ("0",), "preset": ('"cnn"', "'cnn'")}
TABLES = (
    "[training]\npatience = 3  # ours",
    '["training"]\nmax_epochs = 4',
    "[space]\n# narrow\ndropout = 0.2\nconv_depth = [2,\n 3]",
    "[space.learning_rate]\nlow = 1e-5",
    "[weights]\nvgg16 = 'a.h5'\n",
    "[[try]]\ndropout = 0.1",
    "[[try]]\n# last\ndropout = 0.1\n  # end",
)
INLINE = ("", "training.patience = 3", "training = { patience = 3 }", "training = {}", "training . xla = false")


@st.composite
def files(draw: st.DrawFn) -> str:
    """A TOML file in one of many spellings; not all of them are valid."""
    space, quote = st.sampled_from(["", " ", "\t"]), st.sampled_from(["", '"', "'"])
    lines = []
    for key in draw(st.lists(st.sampled_from([*VALUES]), unique=True)):
        marks = draw(quote)
        lines.append(f"{draw(space)}{marks}{key}{marks}{draw(space)}={draw(space)}{draw(st.sampled_from(VALUES[key]))}")
        lines += draw(st.sampled_from([[], [""], ["# comment"], ["#trials = 3"]]))
    lines.append(draw(st.sampled_from(INLINE)))
    lines += draw(st.lists(st.sampled_from(TABLES), max_size=5))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return "\n".join(lines).replace("\n", end) + draw(st.sampled_from(["", end]))


CHANGES = st.dictionaries(
    st.sampled_from(["trials", "images", "groups", "nested", "training.max_epochs", "training.xla"]),
    st.sampled_from([3, True, 'it\'s "x"']),
    max_size=3,
)
TRIES = st.lists(st.sampled_from([Try({"dropout": 0.3}, "trial 2 of another"), Try({"kernel": 3})]), max_size=2)


@rules(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=files(), changes=CHANGES, tries=TRIES)
def test_an_option_changes_what_it_says_and_nothing_else(
    tmp_path: Path, text: str, changes: Mapping[str, Any], tries: list[Try]
) -> None:
    """Or it is refused, and the file stays as it was."""
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    file = tmp_path / FILE
    file.write_bytes(text.encode())
    try:
        config_file.update(tmp_path, changes, tries)
    except UsageError:
        assert file.read_bytes() == text.encode()
        return
    expected = merged(before, changes)
    if tries:
        expected["try"] = [*before.get("try", []), *(point.changes for point in tries)]
    assert tomllib.loads(file.read_bytes().decode()) == expected
