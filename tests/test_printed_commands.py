"""Commands in messages: all are made by one function, and each does what its message promises, pasted as it is."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import cli
from search.text import command_line
from tests.test_imports import modules, source_of
from tests.warm import ROOT

_GROUP: Any = typer.main.get_command(cli.app)
COMMAND = re.compile(rf"\bsearch (?:{'|'.join(_GROUP.commands)})\b[^`\n]*")
VALUE = "\0"  # stands for a value that is formatted into a text


# In the sources


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of every string literal that is no docstring; values formatted into it are VALUE."""
    nodes = list(ast.walk(tree))
    skipped = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    skipped |= {id(n.value) for n in nodes if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else VALUE for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def made_by_hand(source: str) -> list[int]:
    """Lines of a Python source where a value is put into a command without `command_line`."""
    formatted = re.compile(rf"{VALUE}|%s|\{{\w*\}}")
    return [
        line
        for line, text in texts(ast.parse(source))
        for command in COMMAND.findall(text)
        if formatted.search(command) or (command.endswith(" ") and text.endswith(command))
    ]


@pytest.mark.parametrize(
    "source",
    [
        'f"go on with: search resume {study}"',
        'f"`search run {images} --dir {study}` makes it"',
        'f"see {page}; then `search export --to {target}`"',
        '"go on with: search resume %s" % study',
        '"go on with: search resume {}".format(study)',
        '"go on with: search predict " + str(study)',
    ],
)
def test_a_command_that_is_made_by_hand_is_seen(source: str) -> None:
    assert made_by_hand(source) == [1]


@pytest.mark.parametrize(
    "source",
    [
        'f"{study} has not begun; `{command}` starts it"',
        '"a model of `search export`"',
        'f"`search check IMAGES` says which of the {count} pictures"',
        "'''`search run {}` is described here'''",
    ],
)
def test_a_command_that_is_only_mentioned_is_none(source: str) -> None:
    assert made_by_hand(source) == []


def test_no_message_makes_a_command_by_hand() -> None:
    wrong = [
        f"{source_of(module).relative_to(ROOT)}:{line}"
        for module in modules()
        for line in made_by_hand(source_of(module).read_text())
    ]
    assert wrong == []


def test_no_page_makes_a_command_by_hand() -> None:
    templates = [*(ROOT / "reports").rglob("*.j2")]
    assert templates
    assert not [path.name for path in templates for text in COMMAND.findall(path.read_text()) if "{{" in text]


def test_words_are_quoted_for_a_shell_in_one_module() -> None:
    """But for what keeps the command that was typed, and modules that may import nothing of `search`."""
    quoting = re.compile(r"\bshlex\.(?:join|quote)\b")
    found = [module for module in modules() if quoting.search(source_of(module).read_text())]
    assert found == ["search.cli.common", "search.text", "spaces.custom.file", "storage.postgresql"]


# What it makes


@pytest.mark.parametrize(
    "name",
    ["plain", "my study", 'it\'s "mine"', "-dash", "--trials", "$HOME", "a;b", "*", "~", "né", "日本", "tab\there"],
)
def test_a_path_arrives_as_it_is_when_the_command_is_pasted(name: str) -> None:
    (tail,) = shell(command_line("resume", Path(name), "--hours", "1"))
    assert tail == ["resume", f"./{name}" if name.startswith("-") else name, "--hours", "1"]


def test_what_would_steer_a_terminal_is_written_in_a_way_that_the_shell_undoes() -> None:
    for name in ("red\x1b[31m", "two\nlines", "\u202eabc", "back\\slash\x07'", "\udce9"):
        line = command_line("report", Path(name))
        assert line.isprintable() and "\n" not in line
        assert shell(line) == [["report", name]]


def shell(line: str) -> list[list[str]]:
    """The arguments, without the program, that bash makes of a line: one list for each command of it."""
    script = f"search() {{ printf '%s\\0' \"$@\"; printf '\\0'; }}; {line}"
    out = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode(
        errors="surrogateescape"
    )
    return [call.split("\0") for call in out.removesuffix("\0\0").split("\0\0")]


def test_the_program_is_named_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "my bin" / "search"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(program), "run"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert shlex.split(command_line("report")) == [str(program), "report"]
    monkeypatch.setenv("PATH", str(program.parent))
    assert command_line("report") == "search report"
    monkeypatch.setattr("sys.argv", ["/somewhere/cli.py", "run"])
    assert command_line("report") == "search report"
