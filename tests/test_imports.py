"""Who imports whom. Read from the source of every module, and from what a fresh Python has loaded afterwards."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from search.config import parse, write
from search.study import create, prepare
from tests.commands import ROOT
from tests.pictures import make_pictures

ROOMS = ("cli", "reports", "search", "spaces", "storage")
PURE = {
    "search.estimate",
    "search.metrics",
    "search.race",
    "search.ranking",
    "search.progress",
    "search.optuna_study",
    "search.errors",
    "search.selection",
    "search.symptoms",
    "search.answers",
    "search.findings",
    "search.text",
    "search.experiments",
    "search.verdict",
    "search.outer",
}
WORKER_SIDE = (
    "search.worker",
    "search.edits",
    "search.training",
    "search.trainers",
    "search.live",
    "search.features",
    "search.references",
    "search.deploy",
    "search.jobs",
    "search.executors",
)
HEAVY = {"tensorflow", "keras", "keras_tuner", "torch", "jax"}
MAY_BE_HEAVY = {
    "search.adam",
    "search.augmentation",
    "search.deploy",
    "search.live",
    "search.training",
    "search.trainers",
    "spaces.presets.heads",
    "spaces.presets.parts",
}


@dataclass(frozen=True)
class Import:
    """One import: of which module, in which line, and whether it runs when the module is imported."""

    module: str
    line: int
    at_once: bool
    for_types: bool  # under TYPE_CHECKING: never run


def source_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def modules() -> tuple[str, ...]:
    """Every module of ours but the migrations, which Alembic loads as files."""
    found = ["cli"]
    for room in ROOMS[1:]:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" not in parts:
                found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return tuple(found)


@cache
def imports(module: str) -> tuple[Import, ...]:
    """All imports of a module, also those inside functions."""
    return tuple(_walk(ast.parse(source_of(module).read_text()), at_once=True, for_types=False))


def _walk(node: ast.AST, *, at_once: bool, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from (Import(name.name, child.lineno, at_once, for_types) for name in names)
            case ast.ImportFrom(module=str(source), names=names, level=0):
                yield Import(source, child.lineno, at_once, for_types)
                inner = (f"{source}.{name.name}" for name in names)
                yield from (Import(name, child.lineno, at_once, for_types) for name in inner if name in modules())
            case ast.ImportFrom():
                raise AssertionError(f"line {child.lineno}: imports are absolute here")
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from _walk(child, at_once=False, for_types=True)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _walk(child, at_once=False, for_types=for_types)
            case _:
                yield from _walk(child, at_once=at_once, for_types=for_types)


def room_of(module: str) -> str:
    return module.partition(".")[0]


def reached(module: str, *, at_once: bool = False) -> set[str]:
    """Our modules that are imported along with a module: by it, by those it imports, and packages above them."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name not in modules():
            continue
        found.add(name)
        waiting += [name.rpartition(".")[0]]
        waiting += [i.module for i in imports(name) if not i.for_types and (i.at_once or not at_once)]
    return found


# From the source


@pytest.mark.parametrize(
    ("room", "may"),
    [
        ("cli", {"cli", "reports", "search", "spaces", "storage"}),
        ("reports", {"reports", "search", "spaces", "storage"}),
        ("search", {"search", "spaces", "storage"}),
        ("spaces", {"spaces"}),
        ("storage", {"storage"}),
    ],
)
def test_rooms_import_in_one_direction(room: str, may: set[str]) -> None:
    """Types count too: a module that needs another's types knows of it."""
    for module in (m for m in modules() if room_of(m) == room):
        for found in imports(module):
            if room_of(found.module) in (*ROOMS, "tests"):
                assert room_of(found.module) in may, f"{module}, line {found.line}, imports {found.module}"


def test_reports_import_what_is_pure_of_search() -> None:
    for module in (m for m in modules() if room_of(m) == "reports"):
        for found in imports(module):
            if room_of(found.module) == "search":
                assert found.module in PURE, f"{module}, line {found.line}, imports {found.module}"


def test_what_is_pure_of_search_imports_nothing_else_of_it() -> None:
    for module in sorted(PURE):
        others = {m for m in reached(module) if room_of(m) == "search"} - {"search"}
        assert others <= PURE, f"{module} reaches {others - PURE}"


@pytest.mark.parametrize("module", WORKER_SIDE)
def test_workers_never_see_the_database(module: str) -> None:
    assert not {m for m in reached(module) if room_of(m) == "storage"}


def test_keras_and_tensorflow_are_imported_where_models_are_built_and_trained_only() -> None:
    for module in modules():
        heavy = [i for i in imports(module) if room_of(i.module) in HEAVY and i.at_once]
        assert not heavy or module in MAY_BE_HEAVY, f"{module}, line {heavy[0].line}, imports {heavy[0].module}"


def test_modules_that_import_keras_are_imported_inside_functions_only() -> None:
    for module in modules():
        if module not in MAY_BE_HEAVY:
            along = reached(module, at_once=True) & MAY_BE_HEAVY
            assert not along, f"importing {module} imports {along}"


def test_the_rules_are_about_modules_that_exist() -> None:
    assert PURE | set(WORKER_SIDE) | MAY_BE_HEAVY <= set(modules())
    assert {room_of(m) for m in modules()} == set(ROOMS)


def test_the_reader_of_imports_sees_them_wherever_they_stand() -> None:
    code = (
        "import a\nfrom b import c\nif TYPE_CHECKING:\n    import d\n"
        "def f():\n    import e\n    class C:\n        from search import stop\n"
        "try:\n    import g\nexcept ImportError:\n    pass\n"
    )
    found = [(i.module, i.at_once, i.for_types) for i in _walk(ast.parse(code), at_once=True, for_types=False)]
    assert found == [
        ("a", True, False),
        ("b", True, False),
        ("d", False, True),
        ("e", False, False),
        ("search", False, False),
        ("search.stop", False, False),
        ("g", True, False),
    ]


# From what is loaded


def loaded_after(code: str, cwd: Path) -> set[str]:
    """The modules that a fresh Python holds after running some code, by whatever way they came."""
    report = "import atexit, json, sys\natexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))\n"
    ran = subprocess.run(
        [sys.executable, "-c", report + code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    names: list[str] = json.loads(ran.stdout.splitlines()[-1])
    return set(names)


def command(*arguments: str) -> str:
    return f"import sys, cli\nsys.argv = {['search', *arguments]!r}\ncli.main()"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that has begun, and one that has not."""
    root = tmp_path_factory.mktemp("studies")
    make_pictures(root / "pictures", {"a": 4, "b": 4})
    for name in ("begun", "new"):
        (root / name).mkdir()
        write(root / name, parse({"images": "../pictures"}, name))
    create(root / "begun", prepare(parse({"images": "../pictures"}, "begun"), root / "begun")).close()
    return root


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("report", "begun"),
        ("report", "begun", "--json"),
        ("space",),
        ("space", "question"),
        ("init", "pictures"),
    ],
    ids=" ".join,
)
def test_commands_that_do_not_train_load_no_tensorflow(study: Path, arguments: tuple[str, ...]) -> None:
    where = study / "begun" if arguments == ("space",) else study
    loaded = loaded_after(command(*arguments), where)
    assert not loaded & HEAVY
    if "--help" in arguments:
        assert not loaded & {"numpy", "optuna", "sqlalchemy", "plotly", "sklearn", "PIL"}


def test_the_executors_load_neither_tensorflow_nor_the_database(tmp_path: Path) -> None:
    loaded = loaded_after("import search.executors", tmp_path)
    assert "search.worker" in loaded
    assert not loaded & (HEAVY | {"storage", "sqlalchemy", "alembic", "optuna"})


def test_every_module_can_be_imported_first_and_without_tensorflow(tmp_path: Path) -> None:
    light = [m for m in modules() if m not in MAY_BE_HEAVY]
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        f"    for old in [m for m in sys.modules if m.partition('.')[0] in {ROOMS!r}]:\n"
        "        del sys.modules[old]\n"
        "    importlib.import_module(name)\n"
        f"    assert not {HEAVY!r} & sys.modules.keys(), name\n"
    )
    assert loaded_after(code, tmp_path) >= {"sqlalchemy", "optuna"}
