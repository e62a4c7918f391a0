"""Help, comments and checks are made from the catalog. The table of docs/searching.md has a test of its own."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from search.commands import options
from search.samplers.catalog import ENGINES, SAMPLERS, in_comment, in_help, of_engine, row_of
from search.study import config_file
from search.study.config import Config
from tests.warm import ROOT


def test_an_engine_has_a_sampler_of_a_name_once_and_its_first_one_needs_nothing() -> None:
    names = [(row.engine, row.name) for row in SAMPLERS]
    assert len({*names}) == len(names)
    for engine in ENGINES:
        default = row_of(engine, of_engine(engine)[0])
        assert default.package is None
        assert default.one_objective
    with pytest.raises(KeyError, match="optuna has no sampler hyperband"):
        row_of("optuna", "hyperband")


def test_help_and_comment_name_all_of_them_in_order(tmp_path: Path) -> None:
    for text in (in_help(), in_comment()):
        parts = re.split(r"of (?:optuna|keras-tuner): ", text, flags=re.IGNORECASE)[1:]
        for engine, part in zip(ENGINES, parts, strict=True):
            listed = re.findall(r"\b(?:" + "|".join(of_engine(engine)) + r")\b", re.sub(r"\(.*?\)|\[.*?\]", "", part))
            assert tuple(listed) == of_engine(engine)
    assert get_args(options.Sampler)[1].help == in_help()
    config_file.write(tmp_path, Config(images="x"))
    assert f"# {in_comment()}\n" in (tmp_path / "study.toml").read_text()


def test_what_a_sampler_needs_is_an_extra_of_its_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for row in SAMPLERS:
        if row.package:
            (requirement,) = project["optional-dependencies"][row.name]
            assert re.match(rf"{row.package}\b", requirement)
