"""`search env`: what is here, and what is missing for a GPU."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from reports import show
from search.commands.env import EXTRAS, gpu_advice
from search.results.environment import Environment, Extra
from tests.commands import search_here
from tests.warm import ROOT


@pytest.mark.parametrize(
    ("gpus", "seen", "built", "said"),
    [
        ((), (), True, "No NVIDIA GPU is visible"),
        (("GPU-1",), (), False, "was built without CUDA"),
        (("GPU-1",), (), True, "CUDA libraries are missing"),
        (("GPU-1",), ("H100",), True, ""),
    ],
)
def test_the_advice_names_what_is_missing(gpus: tuple[str, ...], seen: tuple[str, ...], built: bool, said: str) -> None:
    advice = gpu_advice(gpus, seen, built_for_gpu=built)
    assert said in advice and bool(said) == bool(advice)


def test_every_extra_for_users_is_told() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(declared) - {"dev", "gpu"}


def test_the_command_says_what_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It starts TensorFlow, which takes seconds, so it is asked once: the words are those of what JSON says."""
    here = json.loads(search_here("env", "--json", cwd=tmp_path).stdout)
    show.environment(Environment(**{**here, "extras": [Extra(**extra) for extra in here["extras"]]}), as_json=False)
    printed = capsys.readouterr().out
    assert "workers of a search, by default: " in printed and "tensorflow " in printed
    assert here["cores"] >= 1 and here["memory_bytes"] > 2**28
    assert here["versions"]["keras"] and {extra["name"] for extra in here["extras"]} == set(EXTRAS)
