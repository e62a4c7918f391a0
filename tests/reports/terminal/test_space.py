"""A space as a table for people."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from reports.terminal.space import show_space
from spaces import Space
from spaces.parameters import integer
from spaces.presets import EXAMPLE, PRESETS, preset


def shown(space: Space, width: int) -> str:
    out = io.StringIO()
    show_space("this", space, Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_word_is_there_and_none_is_broken(name: str, width: int) -> None:
    space = preset(name).space(EXAMPLE)
    text = shown(space, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    words = {word.rstrip(";") for word in text.split()}
    for row in space.rows():
        wanted = {word.rstrip(";") for word in " ".join(row.values()).split()}
        assert wanted <= words, row["name"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_source_of_a_range_is_below_the_help_of_its_parameter(width: int) -> None:
    printed = shown(Space((integer("depth", 1, 5, 2, help="how many blocks", source="a guess"),)), width)
    first, second = (line for line in printed.splitlines() if "blocks" in line or "guess" in line)
    assert (first.split()[-3:], second.split()) == (["how", "many", "blocks"], ["source:", "a", "guess"])


@pytest.mark.parametrize("width", [80, 120])
def test_a_parameter_without_help_has_no_empty_source(width: int) -> None:
    assert "source" not in shown(Space((integer("depth", 1, 5, 2),)), width)
