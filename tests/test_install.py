"""The lines that install the command, as they stand in docs/install.md, in a copy of the checkout.

They install this project alone: its libraries are those of the environment of the tests. pipx refuses to do that.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.test_container import copied_by_the_container
from tests.test_documentation import text_of, tracked
from tests.warm import ROOT

pytestmark = pytest.mark.slow  # each builds the project

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = {
    words[0]: words
    for line in text_of("docs/install.md").splitlines()
    if line.startswith("$ ") and "install" in (words := shlex.split(line[2:], comments=True))
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is built, without what an earlier building left."""
    for name in tracked():
        if any(name == path or name.startswith(f"{path}/") for path in copied_by_the_container()):
            (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "checkout" / name)
    return tmp_path / "checkout"


def without_libraries(tool: str, home: Path) -> tuple[list[str], dict[str, str]]:
    """(Arguments more, environment) with which a tool installs the project alone, below `home`."""
    if tool == "pip":
        return ["--no-deps", "--no-build-isolation", "--target", str(home)], {}
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    names = sorted({Requirement(one).name for one in (*PROJECT["dependencies"], *extras)})
    (home / "excluded.txt").write_text("\n".join(names))
    there = {"UV_TOOL_DIR": str(home / "uv"), "UV_TOOL_BIN_DIR": str(home / "bin"), "UV_PYTHON": sys.executable}
    return ["--excludes", str(home / "excluded.txt")], there


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_line_of_the_page_installs_the_command(tool: str, checkout: Path, tmp_path: Path) -> None:
    """uv fetches what builds the project, and is tried where it is installed."""
    program = [sys.executable, "-m", "pip"] if tool == "pip" else [shutil.which(tool) or ""]
    if not program[0]:
        pytest.skip(f"{tool} is not installed")
    more, environment = without_libraries(tool, tmp_path)
    done = subprocess.run(
        [*program, *LINES[tool][1:], *more],
        cwd=checkout,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    libraries = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}
    if tool == "pip":
        libraries["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{libraries['PYTHONPATH']}"
        installed = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        packages = {name for name in tracked() if name.split("/")[0] in ("search", "spaces", "storage", "reports")}
        assert packages <= installed, "templates of pages and the marks of types are installed too"
    said = subprocess.run(
        [tmp_path / "bin" / "search", "--version"],
        cwd=tmp_path,
        env=libraries,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split()[-1] == PROJECT["version"]
