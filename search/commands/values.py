"""What is typed after an option, read and checked."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from search.errors import UsageError
from search.text import seconds_of


def whole(text: str) -> int:
    """A whole number. Raises typer.BadParameter."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"must be a whole number, got {text!r}") from None


def number(text: str) -> float:
    """A number. Raises typer.BadParameter."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"must be a number, got {text!r}") from None


def duration(text: str) -> float:
    """Seconds, of a text as '90s', '4m' or '1h30m'. Raises typer.BadParameter."""
    try:
        return seconds_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def in_words(text: str) -> str:
    """A text as `duration` reads it, without spaces around."""
    duration(text)
    return text.strip()


def check_budget(hours: float | None, time: str | None) -> None:
    """Raises UsageError if `--hours` and `--time` are both given."""
    if hours is not None and time is not None:
        raise UsageError("--hours and --time are the same budget; give one of them")


def checked_list(name: str, given: Sequence[str] | None) -> Sequence[str] | None:
    """The list itself. Raises UsageError for a text, which Python would take for a list of its letters."""
    if isinstance(given, str):
        raise UsageError(f"{name}: must be a list of texts, got {given!r}; write [{given!r}]")
    return given


def checked_workers(workers: int) -> int:
    """The number itself. Raises UsageError if it is negative."""
    if workers < 0:
        raise UsageError(f"--workers: must be at least 0, got {workers}; 0 trains in this process")
    return workers


def checked_seconds(seconds: float) -> float:
    """The number itself. Raises UsageError if it is negative or NaN."""
    if not seconds >= 0:  # NaN too
        raise UsageError(f"--seconds: must be at least 0, got {seconds:g}; 0 tries the most suspected changes alone")
    return seconds


def workers_of(text: str) -> int:
    """A number of workers. Raises UsageError if it is negative."""
    return checked_workers(whole(text))


def port_of(text: str) -> int:
    """A port. Raises UsageError if it is none."""
    if not 1 <= (number := whole(text)) <= 65535:
        raise UsageError(f"--port: must be from 1 to 65535, got {number}; left out, it is a free one")
    return number


def seconds_from(text: str) -> float:
    """Seconds as a plain number. Raises UsageError if they are negative."""
    return checked_seconds(number(text))


def checked_trial(number: int, option: str) -> int:
    """The number itself. Raises UsageError if it is negative."""
    if number < 0:
        raise UsageError(f"{option}: must be the number of a trial, 0 or more, got {number}")
    return number


def checked_points(number: int) -> int:
    """The number itself. Raises UsageError if it is below 1."""
    if number < 1:
        raise UsageError(f"--trials: must be at least 1, got {number}")
    return number
