"""Durations and paths: as they are typed, and as they are printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.text import as_typed_in, duration_of, seconds_of


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [
        ("90s", 90),
        ("4m", 240),
        ("4min", 240),
        ("8h", 8 * 3600),
        ("1h30m", 5400),
        ("1h30m15s", 5415),
        ("1h5s", 3605),
        ("1.5h", 5400),
        ("0.5s", 0.5),
        (" 8H ", 8 * 3600),
        ("0h10m", 600),
    ],
)
def test_a_time_is_typed_with_its_units(typed: str, seconds: float) -> None:
    assert seconds_of(typed) == seconds


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "8",
        "1.5",
        "h",
        "-1h",
        "+1h",
        "0s",
        "0h0m",
        "1h 30m",
        "30m1h",
        "1h1h",
        "1e3s",
        ".5h",
        "1,5h",
        "inf",
        "٣h",
    ],
)
def test_any_other_text_is_refused_with_the_rule_and_what_was_typed(typed: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a time such as 90s, 30m, 8h or 1h30m, got '") as caught:
        seconds_of(typed)
    assert str(caught.value).endswith(f"got '{typed}'")


@pytest.mark.parametrize("typed", ["100001h", "9" * 400 + "h", "99999999999m"])
def test_a_time_that_nobody_has_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"^must be at most 100,000h, got '") as caught:
        seconds_of(typed)
    assert str(caught.value).endswith(f"got '{typed}'")


def test_characters_that_change_a_terminal_are_escaped_in_the_refusal() -> None:
    with pytest.raises(ValueError, match=r"got '\\x1b\[31m8h'"):
        seconds_of("\x1b[31m8h")


@given(st.integers(1, 10**7))
def test_whole_seconds_are_read_as_they_were_printed(seconds: int) -> None:
    assert seconds_of(duration_of(seconds)) == seconds


@given(st.floats(0, 1e7))
def test_any_seconds_are_printed_as_the_nearest_whole_ones_and_never_as_none(seconds: float) -> None:
    assert seconds_of(duration_of(seconds)) == max(1, round(seconds))


@pytest.mark.parametrize(
    ("seconds", "printed"), [(0.2, "1s"), (60, "1m"), (3599.6, "1h"), (5400, "1h30m"), (90000, "25h"), (3601, "1h1s")]
)
def test_it_is_printed_without_units_of_which_there_are_none(seconds: float, printed: str) -> None:
    assert duration_of(seconds) == printed


def test_a_path_is_typed_in_a_folder_as_is_shorter(tmp_path: Path) -> None:
    assert as_typed_in(tmp_path / "study", tmp_path / "pictures") == Path("../pictures")
    assert as_typed_in(tmp_path / "deep" / "deeper", Path("/p")) == Path("/p")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "study").symlink_to(tmp_path / "elsewhere" / "study")
    assert as_typed_in(tmp_path / "study", tmp_path / "elsewhere" / "pictures") == Path("../pictures")
