"""The Dockerfile, as text: no test builds it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata

from packaging.requirements import Requirement

from tests.test_documentation import tracked
from tests.warm import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
ARGUMENTS = dict(line.removeprefix("ARG ").split("=") for line in LINES if line.startswith("ARG "))


def test_the_base_is_a_release_of_a_python_that_the_project_takes() -> None:
    stages = {match[1] for line in LINES if (match := re.search(r"^FROM .* AS (\w+)$", line))}
    bases = {line.split()[1] for line in LINES if line.startswith("FROM ")} - stages
    assert bases == {"python:${PYTHON}", "${VARIANT}"}
    release = re.fullmatch(r"(\d+)\.(\d+)\.\d+-slim-\w+", ARGUMENTS["PYTHON"])
    assert release
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert tuple(map(int, needed.removeprefix(">=").split("."))) <= (int(release[1]), int(release[2]))
    assert ARGUMENTS["VARIANT"] in stages and "gpu" in stages
    first = next(place for place, line in enumerate(LINES) if line.startswith("FROM"))
    assert all(line.startswith("ARG") for line in LINES[:first]) and first == len(ARGUMENTS)  # else FROM sees none


def test_what_is_installed_is_locked() -> None:
    installs = [line for line in LINES if "pip install" in line]
    assert len(installs) == 3
    locked, project, gpu = installs
    assert "--require-hashes -r /src/requirements.lock" in locked
    assert "--no-deps --no-build-isolation /src" in project
    assert '"tensorflow[and-cuda]==$(' in gpu and 'version("tensorflow")' in gpu


def locked() -> dict[str, str]:
    """Package -> version, of every package of the lock file that is for all of its Pythons."""
    lines = re.findall(
        r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)(?: \\)?$", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    return {name.lower(): release for name, release in lines}


def test_what_builds_the_project_is_locked_too() -> None:
    """It is built without isolation, with what is in the environment by then."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert needed
    for requirement in map(Requirement, needed):
        assert requirement.specifier.contains(locked()[requirement.name]), requirement


def test_the_shell_makes_of_the_line_for_gpus_what_pip_understands() -> None:
    """The version of the TensorFlow that is installed, with an extra that this has."""
    line = next(line for line in LINES if "and-cuda" in line)
    asked = line[line.index('"tensorflow[') :].replace("/opt/smallsearch/bin/python", shlex.quote(sys.executable))
    said = subprocess.run(["sh", "-c", f"printf %s {asked}"], capture_output=True, text=True, check=True).stdout
    requirement = Requirement(said)
    assert str(requirement.specifier) == f"=={metadata.version('tensorflow')}"
    assert requirement.extras <= {*(metadata.metadata("tensorflow").get_all("Provides-Extra") or ())}


def copied_by_the_container() -> list[str]:
    return [path for line in LINES if re.match(r"COPY (?!--from)", line) for path in line.split()[1:-1]]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    copied = copied_by_the_container()
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*" and {f"!{path}" for path in copied} == {line for line in ignored if line[0] == "!"}
    for path in copied:
        assert (ROOT / path).exists() and any(name == path or name.startswith(f"{path}/") for name in tracked())
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    tops = {name.rstrip("*") for name in packages["packages"]["find"]["include"]}
    assert tops | {f"{name}.py" for name in packages["py-modules"]} <= {*copied}


def test_it_runs_as_a_user_without_rights_in_the_mounted_folder() -> None:
    final = LINES[max(place for place, line in enumerate(LINES) if line.startswith("FROM")) :]
    assert "USER searcher" in final and "WORKDIR /work" in final
    assert final.index("USER searcher") > next(n for n, line in enumerate(final) if "useradd" in line)
    assert 'ENTRYPOINT ["search"]' in final
