"""Names that come from a file system: valid Unicode for storing, and harmless on a terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.text import as_unicode, printable


class TestShown:
    @pytest.mark.parametrize("name", ["plain.png", "写真 ñ 🙂.png", "e\u0301.png", "line\nbreak", "a/b/c.png"])
    def test_valid_names_are_themselves(self, name: str) -> None:
        assert as_unicode(name) == as_unicode(Path(name)) == name

    def test_stray_bytes_are_escaped(self) -> None:
        assert as_unicode(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"

    @given(st.binary(min_size=1))
    def test_any_bytes_can_be_stored(self, name: bytes) -> None:
        json.dumps(as_unicode(os.fsdecode(name)), ensure_ascii=False).encode("utf-8")


class TestPrintable:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("line\nbreak\r\t", r"line\nbreak\r\t"),
            ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
            ("\x9b31m", r"\x9b31m"),
            ("\x00\x07\x7f", r"\x00\x07\x7f"),
            ("gnp.\u202etxt", r"gnp.\u202etxt"),
            ("\u2066a\u2069\u200f", r"\u2066a\u2069\u200f"),
            ("\u2028\u2029", r"\u2028\u2029"),
            ("\ufeff\u200b", r"\ufeff\u200b"),
            ("\udce9", r"\udce9"),
            ("\U000e0041", r"\U000e0041"),
        ],
    )
    def test_what_steers_a_terminal_is_written_out(self, text: str, expected: str) -> None:
        assert printable(text) == expected

    @pytest.mark.parametrize(
        "text", ["", "plain", "été ☀ 写真", "שלום", "क\u200cष", "👩\u200d🔬", "e\u0301", "50% [x]"]
    )
    def test_the_rest_passes(self, text: str) -> None:
        assert printable(text) == text

    @given(st.text())
    def test_one_line_and_doing_it_twice_changes_nothing(self, text: str) -> None:
        once = printable(text)
        assert len(once.splitlines()) <= 1
        assert printable(once) == once
