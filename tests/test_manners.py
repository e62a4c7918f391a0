"""Everyday manners: completion by TAB, no colours where nobody wants them, examples in every help, JSON for scripts."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import cli
from search.cli.examples import EXAMPLES
from tests.commands import search_here
from tests.kept.studies import STUDIES, copied
from tests.warm import ROOT

_GROUP: Any = typer.main.get_command(cli.app)


# Completion


def completed(line: str, cwd: Path) -> list[str]:
    """What bash proposes after a line, by the script that `--show-completion` prints."""
    program = cwd / "bin" / "search"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!{sys.executable}\nfrom search.__main__ import main\n\nmain()\n")  # as pip writes it
    program.chmod(0o755)
    words = line.split(" ")
    script = (
        f'eval "$(search --show-completion bash)"\nCOMP_WORDS=({shlex.join(words)})\nCOMP_CWORD={len(words) - 1}\n'
        '_search_completion search\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    ran = subprocess.run(["bash", "-c", script], cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        ("search re", ["report", "resume"]),
        ("search run --sampler g", ["gp", "grid"]),
        ("search run --preset f", ["frozen", "fine-tune"]),
        ("search log --to ", ["tensorboard", "mlflow", "wandb"]),
    ],
)
def test_bash_completes_commands_and_names(line: str, proposed: list[str], tmp_path: Path) -> None:
    assert sorted(completed(line, tmp_path)) == sorted(proposed)


# Help


def test_every_command_has_examples() -> None:
    assert {*EXAMPLES} == {*_GROUP.commands}
    for name, command in _GROUP.commands.items():
        assert 2 <= len(EXAMPLES[name]) <= 4
        assert all(line in command.epilog for line, _ in EXAMPLES[name])


@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_are_accepted(command: str) -> None:
    for line, _ in EXAMPLES[command]:
        words = shlex.split(line.partition(" > ")[0])
        assert words[:2] == ["search", command]
        _GROUP.commands[command].make_context(command, words[2:])  # parses; exits where it cannot


def test_help_shows_each_example_in_a_line_of_its_own(tmp_path: Path) -> None:
    shown = search_here("run", "--help", cwd=tmp_path).stdout
    lines = [line.strip() for line in shown.splitlines()]
    assert "Examples:" in lines and lines.index("Examples:") > lines.index("Options:")
    for example, what in EXAMPLES["run"]:
        assert [line for line in lines if line.startswith(f"{example} ") and line.endswith(f"# {what}")]


# Colours


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "search", *arguments],
        cwd=cwd,
        env=inherited | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "120"} | environment,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        written += piece
    os.close(ours)
    assert process.wait(60) == 0
    return written.decode()


COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-9]|4[0-9]|9[0-7])(?:;[0-9]+)*m")


def test_no_color_is_heeded(tmp_path: Path) -> None:
    study = copied(next(s for s in STUDIES if s.name == "question"), tmp_path).name
    assert COLOUR.search(on_a_terminal("report", study, cwd=tmp_path))
    plain = on_a_terminal("report", study, cwd=tmp_path, NO_COLOR="1")
    assert "Best" in plain or "trial" in plain
    assert not COLOUR.search(plain)


# JSON

NO_FACTS = {"copy", "dashboard"}  # one writes a study and says where, the other serves pages


def test_every_command_that_prints_facts_prints_them_as_json_too() -> None:
    without = {name for name, command in _GROUP.commands.items() if not any("--json" in p.opts for p in command.params)}
    assert without <= NO_FACTS


def test_init_and_backup_print_where_they_wrote(pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "shapes")
    made = json.loads(search_here("init", "shapes", "--preset", "cnn", "--json", cwd=tmp_path).stdout)
    assert made == {
        "study": "shapes-study",
        "settings": "shapes-study/study.toml",
        "next": "search run shapes-study",
    }
    copied(next(s for s in STUDIES if s.name == "cnn"), tmp_path / "home")
    told = json.loads(search_here("backup", "cnn", "--to", "copy", "--json", cwd=tmp_path / "home").stdout)
    assert told == {"backup": "copy", "report": "search report copy", "resume": "search resume copy"}
    assert (tmp_path / "home" / "copy" / "study.db").is_file()


@pytest.mark.slow
def test_a_run_prints_its_report_as_json_and_nothing_else(pictures: Path, tmp_path: Path) -> None:
    flags = ("--preset", "cnn", "--trials", "1", "--folds", "2", "--epochs", "1", "--workers", "0", "--dir", "s")
    done = search_here("run", pictures, *flags, "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["best"]["number"] == 0
    reported = json.loads(search_here("report", "s", "--json", cwd=tmp_path).stdout)
    assert told["trials"] == reported["trials"]
    again = search_here("resume", "s", "--trials", "1", "--json", "--workers", "0", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "") and "nothing to resume" in again.stderr


def test_the_tables_are_written_beside_the_page(tmp_path: Path) -> None:
    copied(next(s for s in STUDIES if s.name == "cnn"), tmp_path)
    done = search_here("report", "cnn", "--csv", cwd=tmp_path)
    assert done.stdout.endswith("\ntables: cnn/trials.csv and cnn/folds.csv\n")
    told = json.loads(search_here("report", "cnn", "--csv", "--json", cwd=tmp_path).stdout)
    assert len((tmp_path / "cnn" / "trials.csv").read_text().splitlines()) == len(told["trials"]) + 1
