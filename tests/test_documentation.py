"""Documentation that cannot lie: links resolve, commands exist, examples are accepted, recipes name the right files."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main

import cli
from search.samplers.catalog import SAMPLERS, of_engine
from search.session.signals import RESUMABLE
from search.stats.metrics import METRICS
from search.study import config_file
from search.study.config import Config, parse
from spaces.backbones.applications import ARCHITECTURES
from spaces.backbones.lite import LITE0, PACKAGED
from spaces.facts import Facts
from spaces.presets import PRESETS
from spaces.recipe import AUGMENTATIONS
from tests.test_imports import TABLE
from tests.warm import ROOT

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
MAX_WORDS = 900  # of a page that everybody reads


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


README, ARCHITECTURE, CONTRIBUTING = map(text_of, ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))
SEARCHING = text_of("docs/searching.md")


def blocks(kind: str, text: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [re.split(r" \| ", line.strip("| ")) for line in lines if not line.startswith("| ---")]


def links(page: str) -> list[str]:
    """What a page links to, relative to the root; addresses as they are."""
    found = re.findall(r"\]\(([^)#]+)[^)]*\)", text_of(page))
    return [
        target
        if target.startswith("https://")
        else (ROOT / page).parent.joinpath(target).resolve().relative_to(ROOT).as_posix()
        for target in found
    ]


@cache
def tracked() -> tuple[str, ...]:
    """All files of the repository, and new ones that are not ignored."""
    line = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return tuple(subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")[:-1])


# Links and names


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
    missing = [to for to in links(page) if not to.startswith("https://") and not (ROOT / to).exists()]
    assert not missing


def test_every_page_and_picture_can_be_reached_from_the_readme() -> None:
    reached: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and (ROOT / page).is_file():
            reached.add(page)
            waiting += [to for to in links(page) if to.endswith(".md")]
    pictures = {to for page in reached for to in links(page) if not to.endswith(".md")}
    assert reached >= {*PAGES}
    assert pictures >= {name for name in tracked() if name.startswith("docs/") and not name.endswith(".md")}


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md"])
def test_pages_that_everybody_reads_are_short(page: str) -> None:
    assert len(text_of(page).split()) <= MAX_WORDS


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    for line in text_of(page).splitlines():
        for name, inside in re.findall(r"`((?:search|spaces|storage|reports|tests|docs)/[\w/.-]*)(?:: (\w+))?", line):
            assert (ROOT / name).exists() or "a new" in line, f"{page}: {name}"
            assert not inside or re.search(rf"\b{inside}\b", text_of(name)), f"{page}: {name} has no {inside}"


# Commands and settings


def is_run(module: str) -> bool:
    """Whether `python -m` finds a module of ours to run."""
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def check_docker(verb: str, arguments: list[str]) -> None:
    """What is built has such arguments; what is run is a command of ours."""
    if verb == "build":
        given = [name.partition("=")[0] for before, name in pairwise(arguments) if before == "--build-arg"]
        assert all(f"\nARG {name}=" in text_of("Dockerfile") for name in given), given
        return
    group: Any = typer.main.get_command(cli.app)
    _, command, *inside = arguments[arguments.index("smallsearch") :]
    group.commands[command].make_context(command, inside)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_documentation_are_accepted(page: str) -> None:
    group: Any = typer.main.get_command(cli.app)
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    for line in re.findall(r"^\$ (.*)$", text_of(page), re.MULTILINE):
        name, *rest = shlex.split(line, comments=True)
        match Path(name).name, rest:
            case "search", [command, *arguments] if not command.startswith("-"):
                group.commands[command].make_context(command, arguments)  # parses; exits where it cannot
            case "search", ["--version" | "--install-completion" | "--show-completion" as option]:
                assert option in {each for one in group.params for each in one.opts}, line
            case "docker", [verb, *arguments]:
                check_docker(verb, arguments)
            case "make", [target, *_]:
                assert re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE), line
            case "python", ["-m", "pytest", *arguments]:
                assert all((ROOT / path).exists() for path in arguments if path.startswith("tests/")), line
            case "python", ["-m", module, *_]:
                assert is_run(module), line
            case "python", ["-c", code]:
                ast.parse(code)
            case (("pip" | "pipx" | "uv"), [*_, what]):
                assert {*re.findall(r"[\w-]+", what)} <= extras.keys(), line
            case _:
                raise AssertionError(f"{page}: no test knows this command: {line}")
    for target in re.findall(r"`make (\w+)", text_of(page)):
        assert re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE), target
    for module in re.findall(r"`python -m (tests[\w.]*)", text_of(page)):
        assert is_run(module), module


@pytest.mark.parametrize("page", PAGES)
def test_settings_in_the_documentation_are_accepted(page: str) -> None:
    for block in blocks("toml", text_of(page)):
        parse({"images": "here", **tomllib.loads(block)}, page)


def test_every_command_exit_code_and_extra_has_its_row() -> None:
    group: Any = typer.main.get_command(cli.app)
    described = {line[0] for line in rows(text_of("docs/commands.md"))}
    assert {name.split()[1] for name in described if name.startswith("`search ")} == {*group.commands}
    assert {"0", "1", "2", str(RESUMABLE)} <= described
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    assert {line[0].strip("`") for line in rows(text_of("docs/install.md"))[1:]} == {*extras}


def test_every_setting_is_described_with_its_default() -> None:
    page = text_of("docs/study-toml.md")
    (example,) = map(tomllib.loads, blocks("toml", page))
    fields = {field.alias or name for name, field in Config.model_fields.items()}
    described = {re.split(r"[`\[\]]+", line[0])[1] for line in rows(page)[1:]} | example.keys()
    assert fields <= described
    assert parse(example, page) == parse({"images": example["images"]}, page)
    default = Config(images="here")
    assert f"after {default.trials} trials or {default.hours:g} hours" in " ".join(README.split())


def test_the_examples_of_a_space_of_weights_and_of_points_are_accepted() -> None:
    example, weights, points = map(tomllib.loads, blocks("toml", SEARCHING))
    space = PRESETS["auto"].space(Facts(64, 64, 3, 2, 500, (LITE0,)))
    narrowed = space.narrow(example["space"])
    assert all(name in space.by_name for point in points["try"] for name in point)
    assert narrowed.by_name["cnn_dropout"].range == "0.2"
    assert parse({"images": "here", **weights}, "searching.md").weights.keys() == weights["weights"].keys()


def test_samplers_presets_networks_and_augmentations_are_those_of_the_code() -> None:
    table = ["| engine | sampler | good to know |", "| --- | --- | --- |"]
    for row in SAMPLERS:
        first = row.name == of_engine(row.engine)[0]
        engine, default = (f"`{row.engine}` ", " (default)") if first else ("", "")
        table.append(f"| {engine}| `{row.name}`{default} | {row.summary} |")
    expected = "\n".join(table)
    assert f"\n\n{expected}\n\n" in SEARCHING, f"docs/searching.md: the table of samplers must be\n{expected}"
    assert {line[0].strip("`") for line in rows(SEARCHING)} >= {*PRESETS}
    assert all(f"`{name}`" in SEARCHING for name in (*ARCHITECTURES, *AUGMENTATIONS))


def test_study_toml_can_be_written_for_every_preset(tmp_path: Path) -> None:
    """A family that is new needs examples there."""
    for name in PRESETS:
        config_file.write(tmp_path, Config(images="here", preset=name))


# The architecture


def test_packages_stand_in_the_order_in_which_they_may_import() -> None:
    table = ARCHITECTURE.split("## Packages")[1].split("## The walk")[0]
    order: list[str] = []
    for first, *_ in rows(table)[1:]:
        named = [name.rstrip("/").removesuffix(".py").replace("/", ".") for name in re.findall(r"`([\w/.]+)`", first)]
        order += [name if name == "cli" or "." in name or name in TABLE else f"search.{name}" for name in named]
    assert {*order} == {*TABLE}
    for place, package in enumerate(order):
        may = TABLE[package] if package != "cli" else ()  # which may import everything
        above = order[:place]
        wrong = [other for other in may if not any(other == name or other.startswith(f"{name}.") for name in above)]
        assert not wrong, f"{package} may import {wrong}, which stand below it"


def test_files_of_the_architecture_exist() -> None:
    for line in ARCHITECTURE.splitlines():
        for name in re.findall(r"`([\w/]+\.(?:py|md))`", line):
            there = any(f"/{path}".endswith(f"/{name}") for path in tracked())
            assert there, name


# The recipes


def recipes() -> dict[str, str]:
    """Title -> what CONTRIBUTING.md says of adding such a thing."""
    how_to = CONTRIBUTING.split("## How to add")[1]
    return dict(re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", how_to, re.DOTALL | re.M))


def steps(recipe: str) -> list[str]:
    return re.findall(r"^\d\. (.*?)(?=^\d\. |^\n|\Z)", recipe, re.DOTALL | re.MULTILINE)


def files_in(text: str) -> list[str]:
    return [name for name in re.findall(r"`([\w/.-]+)`", text) if "/" in name or name.endswith((".py", ".toml"))]


@cache
def words_in(path: str) -> frozenset[str]:
    """The words of all strings of a file of code that are no docstring."""
    tree = ast.parse(text_of(path))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [
        n.value
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in alone
    ]
    return frozenset(word for string in strings for word in re.findall(r"[\w-]+", string))


def listing(names: Iterable[str]) -> set[str]:
    """The files of code that name all of these: who adds one has to look at them."""
    ours = [
        path
        for path in tracked()
        if path.endswith(".py") and path.startswith(("cli", "search/", "spaces/", "storage/", "reports/"))
    ]
    return {path for path in ours if {*names} <= words_in(path)}


LISTED = {
    "a sampler": {*of_engine("optuna")} - {"grid"},  # which is not Optuna's own
    "a metric": {*METRICS},
    "a pre-trained network (backbone)": {*ARCHITECTURES},
    "an augmentation": {*AUGMENTATIONS},
    "a family of models": {*PRESETS},
}
NO_REGISTERS = {
    "reports/html/charts.py",  # chooses which curves are drawn
    "spaces/presets/question.py",  # tells in its help what the question's augmentation was
}
"""Files that name all of a kind, and need no change for one more."""


@pytest.mark.parametrize("thing", LISTED)
def test_code_that_lists_all_of_a_kind_is_named_in_the_recipe_for_one_more(thing: str) -> None:
    found, named = listing(LISTED[thing]), {*files_in(recipes()[thing])}
    assert found, f"no file lists {LISTED[thing]}"
    assert found - NO_REGISTERS <= named


@pytest.mark.parametrize("thing", recipes())
def test_what_a_step_of_a_recipe_names_is_in_its_file(thing: str) -> None:
    assert steps(recipes()[thing])
    for step in steps(recipes()[thing]):
        files = [name for name in files_in(step) if (ROOT / name).exists()]
        assert files or "a new" in step, step
        names = set(re.findall(r"`(\w+)`", step))
        code = "".join(text_of(name) for name in files if (ROOT / name).is_file())
        assert all(re.search(rf"\b{name}\b", code) for name in names), f"{step}: {names}"


def test_a_file_for_tests_that_a_recipe_names_reads_the_list_that_grows() -> None:
    for thing, names in {
        "a sampler": {"tests/search/samplers/contract.py": "SAMPLERS"},
        "a pre-trained network (backbone)": {"tests/spaces/test_applications.py": "ARCHITECTURES"},
        "a family of models": {"tests/spaces/test_presets.py": "FAMILIES"},
    }.items():
        for path, name in names.items():
            assert path in recipes()[thing] or str(Path(path).parent) in recipes()[thing]
            assert re.search(rf"\b{name}\b", text_of(path))


def test_options_of_commands_and_sections_of_pages_are_declared_where_the_recipes_say() -> None:
    commands = [
        node
        for path in ("cli.py", *(name for name in tracked() if name.startswith("search/cli/")))
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.FunctionDef) and any("app.command" in ast.unparse(d) for d in node.decorator_list)
    ]
    options = text_of("search/commands/options.py")
    for argument in (argument for command in commands for argument in command.args.args):
        declared = ast.unparse(argument.annotation) if argument.annotation else ""
        if declared == "typer.Context":  # what the program knows, not what is typed
            continue
        assert re.search(rf"^{declared.removeprefix('opt.')} = Annotated", options, re.MULTILINE), declared
    templates = [name for name in tracked() if name.startswith("reports/html/templates/") and name.endswith(".j2")]
    users = "".join(text_of(name) for name in (*templates, *tracked()) if name.startswith("reports/html/"))
    assert all(f'"{Path(name).name}"' in users for name in templates)


# What is installed, and what is told of where this was made


def test_the_lock_file_has_hashes_for_everything_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    packages = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    assert len(packages) > 50
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\w)", text.strip()))
    assert "://" not in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}
    assert wanted <= set(packages)


def test_packages_that_messages_say_to_install_are_those_of_the_extras() -> None:
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    assert extras["backbone"] == [packaged.requirement for packaged in PACKAGED]
    needed = {row.name: row.package for row in SAMPLERS if row.package}
    assert {name: re.split(r"[<>=]", extras[name][0])[0] for name in needed} == needed


def test_no_file_names_a_machine_or_a_registry() -> None:
    words = ("python" + "hosted", "pypi" + ".org", "registry." + "npmjs", "deb." + "debian.org")
    for name in tracked():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".lock", ".html", ".j2", ".js", ".css"} and path.is_file():
            text = path.read_text()
            assert not [word for word in words if word in text], name
