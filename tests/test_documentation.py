"""Documentation that cannot lie: links resolve, commands exist, examples are accepted."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from typing import Any

import pytest
import typer.main

import cli
from search.study.config import parse
from spaces.backbones import lite0
from spaces.facts import Facts
from spaces.presets import PRESETS
from tests.commands import ROOT

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
README = (ROOT / "README.md").read_text()
SEARCHING = (ROOT / "docs/searching.md").read_text()


def blocks(kind: str, text: str = README) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    for name in re.findall(r"`((?:search|spaces|storage|reports|tests)/[\w/.]*)`", text):
        assert (ROOT / name).exists(), f"{page}: {name}"


def test_every_command_is_in_the_readme_and_every_command_there_exists() -> None:
    group: Any = typer.main.get_command(cli.app)
    described = set(re.findall(r"\| `search (\w+)", README))
    assert described == set(group.commands)
    shown = [line for block in blocks("console") for line in block.splitlines() if line.startswith("$ search ")]
    for line in shown:
        command, *rest = line.removeprefix("$ search ").split("#")[0].split()
        flags = {flag for option in group.commands[command].params for flag in option.opts}
        assert {word for word in rest if word.startswith("--")} <= flags, line


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_commands_and_settings_in_the_docs_are_accepted(page: str) -> None:
    group: Any = typer.main.get_command(cli.app)
    text = (ROOT / "docs" / page).read_text()
    for line in re.findall(r"^\$ search (.*)$", text, re.MULTILINE):
        command, *rest = shlex.split(line, comments=True)
        group.commands[command].make_context(command, rest)  # parses; exits where it cannot
    for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        parse({"images": "here", **tomllib.loads(block)}, page)


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_examples_of_a_space_of_weights_and_of_points_are_accepted() -> None:
    (example,) = map(tomllib.loads, blocks("toml"))
    weights, points = map(tomllib.loads, blocks("toml", SEARCHING))
    space = PRESETS["auto"].space(Facts(64, 64, 3, 2, 500, (lite0.BACKBONE,)))
    narrowed = space.narrow(example["space"])
    assert all(name in space.by_name for point in points["try"] for name in point)
    assert narrowed.by_name["cnn_dropout"].range == "0.2"
    assert parse({"images": "here", **weights}, "searching.md").weights.keys() == weights["weights"].keys()


def test_samplers_presets_and_exit_codes_in_the_readme_are_those_of_the_code() -> None:
    from search.samplers.catalog import ENGINES, SAMPLERS, of_engine
    from search.session.signals import RESUMABLE

    table = ["| engine | sampler | good to know |", "| --- | --- | --- |"]
    for row in SAMPLERS:
        first = row.name == of_engine(row.engine)[0]
        engine, default = (f"`{row.engine}` ", " (default)") if first else ("", "")
        table.append(f"| {engine}| `{row.name}`{default} | {row.summary} |")
    assert "\n\n" + "\n".join(table) + "\n\n" in SEARCHING, (
        "docs/searching.md: the table of samplers must be\n" + "\n".join(table)
    )
    (line,) = re.findall(r"^Samplers: (.*?)\.\sWith `--engine", README, re.DOTALL | re.MULTILINE)
    assert tuple(re.findall(r"`(\w+)`", line)) == of_engine("optuna")
    (line,) = re.findall(r"With `--engine keras-tuner`:\s(.*?)\. Trial 0", README, re.DOTALL)
    assert tuple(re.findall(r"`(\w+)`", line)) == of_engine("keras-tuner")
    assert ENGINES == ("optuna", "keras-tuner")
    assert all(f"| `{preset}` |" in README for preset in PRESETS)
    assert "`search space auto`" in README
    assert f"{RESUMABLE} stopped by" in README


def test_the_lock_file_has_hashes_for_everything_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    packages = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    assert len(packages) > 50
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\w)", text.strip()))
    assert "://" not in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}
    assert wanted <= set(packages)


def test_no_file_names_a_machine_or_a_registry() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    words = ("python" + "hosted", "pypi" + ".org", "registry." + "npmjs", "deb." + "debian.org")
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".lock", ".html", ".j2", ".js", ".css"} and path.is_file():
            text = path.read_text()
            assert not [word for word in words if word in text], name
