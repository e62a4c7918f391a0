"""Who may import whom: the house as a table, read from the source of every module and from what a fresh Python loads.

`python -m tests.test_imports` prints each package, what it imports, and how many circles of files there are.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.commands import ROOT
from tests.pictures import make_pictures

TOPS = ("cli", "reports", "search", "spaces", "storage")
RECORDS = "storage.records"

TABLE: dict[str, tuple[str, ...]] = {
    # the ground
    "search.errors": (),
    "search.seeds": (),
    "search.text": (),
    "search.files": (),
    "search.native": (),
    "search.manifest": ("search.errors",),
    # what is searched, what is stored
    "spaces": (),
    "storage": (),
    # the search
    "search.data": ("search.errors", "search.native", "search.seeds", "search.text", RECORDS),
    "search.stats": (RECORDS,),
    "search.diagnosis": ("spaces",),
    "search.jobs": ("search.diagnosis", "spaces"),
    "search.samplers": ("search.errors", "search.native", "search.seeds", "search.stats", "spaces", RECORDS),
    "search.worker": (
        "search.files",
        "search.native",
        "search.jobs",
        "search.manifest",
        "search.diagnosis",
        "search.stats.metrics",
        "search.stats.chance",
        "search.stats.contributions",
        "spaces",
    ),
    "search.executors": ("search.errors", "search.files", "search.native", "search.jobs", "search.worker"),
    "search.study": (
        "search.errors",
        "search.files",
        "search.seeds",
        "search.text",
        "search.manifest",
        "search.stats",
        "search.data",
        "search.samplers.catalog",
        "spaces",
        "storage",
    ),
    "search.results": (
        "search.stats",
        "search.diagnosis",
        "search.samplers.optuna_study",
        "search.study.folder",
        "spaces",
        "storage",
    ),
    "search.export": (
        "search.errors",
        "search.files",
        "search.native",
        "search.manifest",
        "search.text",
        "search.data",
        "search.study",
        "search.results.predictions",
        "search.session.budget",
        "storage",
    ),
    "search.session": (
        "search.errors",
        "search.seeds",
        "search.text",
        "search.stats",
        "search.data",
        "search.diagnosis",
        "search.jobs",
        "search.manifest",
        "search.samplers",
        "search.executors",
        "search.study",
        "search.results.progress",
        "spaces",
        "storage",
    ),
    "search.commands": (
        "search.errors",
        "search.seeds",
        "search.text",
        "search.files",
        "search.native",
        "search.manifest",
        "search.data",
        "search.stats",
        "search.diagnosis",
        "search.jobs",
        "search.samplers",
        "search.executors",
        "search.study",
        "search.results",
        "search.export",
        "search.session",
        "search.worker.preview",
        "spaces",
        "storage",
    ),
    # what is shown
    "reports": (
        "search.files",
        "search.text",
        "search.stats",
        "search.diagnosis",
        "search.results",
        "search.data.findings",
        "spaces",
        RECORDS,
    ),
    "search.api": (
        "search.commands",
        "search.results",
        "search.errors",
        "search.study.continuing",
        "search.study.folder",
        # types of what it returns
        "search.data.findings",
        "search.diagnosis.result",
        "search.stats.estimate",
        "reports",
        "storage",
    ),
    "cli": (
        "search.commands",
        "search.results",
        "search.errors",
        "search.text",
        "search.session.signals",
        "reports",
        "spaces",
        "storage",
    ),
}
"""Package, or module beside the packages -> what of ours it may import, be it in a function or for types alone."""

HEAVY = {"tensorflow", "keras", "keras_tuner", "torch", "jax"}
MAY_BE_HEAVY = {
    "search.worker.augmentation",
    "search.worker.fast_adam",
    "search.worker.graph_sharing",
    "search.worker.keras_heads",
    "search.worker.packaging",
    "search.worker.trainer",
    "search.worker.trainer_cache",
    "search.worker.fold_run",
    "search.worker.batches",
    "spaces.compiling",
    "spaces.presets.parts",
}
"""These import Keras and TensorFlow at their top, and are imported in functions by all others."""

MAY_BE_PRIVATE = {"search.worker.keras_internals", "search.worker.fast_adam"}
"""These may touch what Keras and TensorFlow do not export."""
PRIVATE_OF_OTHERS = {"_gamma": "scikit-learn's, of an SVM"}
"""Private names in files that import Keras or TensorFlow, but of none of theirs."""
PRIVATE_MODULES = ("keras.src", "tensorflow.python")


@dataclass(frozen=True)
class Import:
    """One import: of which module, where, and whether it runs when the module is imported."""

    module: str
    line: int
    at_once: bool
    for_types: bool  # under TYPE_CHECKING: never run
    name: str = ""  # what is taken from the module; empty for the module itself


def source_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def modules() -> tuple[str, ...]:
    """Every module of ours but the migrations, which Alembic loads as files."""
    found = ["cli"]
    for top in TOPS[1:]:
        for path in sorted((ROOT / top).rglob("*.py")):
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
                for name in names:
                    inner = f"{source}.{name.name}"
                    if inner in modules():
                        yield Import(inner, child.lineno, at_once, for_types)
                    else:
                        yield Import(source, child.lineno, at_once, for_types, name.name)
            case ast.ImportFrom():
                raise AssertionError(f"line {child.lineno}: imports are absolute here")
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from _walk(child, at_once=False, for_types=True)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _walk(child, at_once=False, for_types=for_types)
            case _:
                yield from _walk(child, at_once=at_once, for_types=for_types)


def place(module: str, line: int) -> str:
    """file:line: what stands there."""
    path = source_of(module)
    return f"{path.relative_to(ROOT)}:{line}: {path.read_text().splitlines()[line - 1].strip()}"


def top_of(module: str) -> str:
    return module.partition(".")[0]


def ours(module: str) -> bool:
    return top_of(module) in (*TOPS, "tests")


def within(module: str, packages: Iterable[str]) -> bool:
    """Whether the module is one of these or in one of them."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def row_of(module: str) -> str | None:
    """The row of the table that a module belongs to; None for a package that only holds others."""
    return next((row for row in TABLE if within(module, [row])), None)


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


def circles() -> list[list[str]]:
    """Files that import each other, on whatever way, in functions and for types too: each circle's files."""
    graph = {name: sorted({i.module for i in imports(name)} & {*modules()} - {name}) for name in modules()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:  # Tarjan's strongly connected components
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            together = stack[at:]
            del stack[at:]
            if len(together) > 1:
                found.append(sorted(together))

    for name in modules():
        if name not in index:
            visit(name)
    return found


def lines_of_circle(together: Sequence[str]) -> list[str]:
    return [place(name, i.line) for name in together for i in imports(name) if i.module in together]


def fail_with(lines: Sequence[str]) -> None:
    assert not lines, "\n" + "\n".join(lines)


# From the source


def test_each_package_imports_what_its_row_allows() -> None:
    """Types count too: a module that needs another's types knows of it."""
    wrong = []
    for module in modules():
        row = row_of(module)
        if row is None:
            continue
        for found in imports(module):
            if ours(found.module) and not within(found.module, (row, *TABLE[row])):
                wrong.append(place(module, found.line))
    fail_with(wrong)


def test_every_module_has_its_row() -> None:
    assert [module for module in modules() if row_of(module) is None] == ["search"]
    assert all(source_of(row).exists() for row in TABLE)
    assert {*MAY_BE_HEAVY, *MAY_BE_PRIVATE} <= {*modules()}


def test_there_is_no_circle_of_files() -> None:
    fail_with([line for together in circles() for line in lines_of_circle(together)])


def test_workers_never_see_the_database() -> None:
    wrong = [
        f"{module} reaches {other}"
        for module in modules()
        if within(module, ("search.worker", "search.executors"))
        for other in sorted(reached(module))
        if top_of(other) == "storage"
    ]
    fail_with(wrong)


def test_keras_and_tensorflow_are_imported_where_models_are_built_and_trained_only() -> None:
    fail_with(
        [
            place(module, found.line)
            for module in modules()
            for found in imports(module)
            if top_of(found.module) in HEAVY and found.at_once and module not in MAY_BE_HEAVY
        ]
    )


def test_modules_that_import_keras_are_imported_inside_functions_only() -> None:
    for module in modules():
        if module not in MAY_BE_HEAVY:
            along = reached(module, at_once=True) & MAY_BE_HEAVY
            assert not along, f"importing {module} imports {along}"


def test_what_keras_and_tensorflow_do_not_export_is_touched_in_one_place() -> None:
    wrong = []
    for module in modules():
        if module in MAY_BE_PRIVATE:
            continue
        wrong += [place(module, i.line) for i in imports(module) if within(i.module, PRIVATE_MODULES)]
        if {top_of(i.module) for i in imports(module)} & {"keras", "tensorflow"}:
            wrong += [
                place(module, line)
                for name, line in _private_names(ast.parse(source_of(module).read_text()))
                if name not in PRIVATE_OF_OTHERS
            ]
    fail_with(wrong)


def _private_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(name, line) of each private attribute of something that is not `self`, also where its name is a string."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name):
                pass
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "patched"), args=[_, ast.Constant(value=str(name)), *_]
            ):
                pass
            case _:
                continue
        if name.startswith("_") and not name.startswith("__"):
            yield name, node.lineno


def test_packages_of_search_are_a_docstring() -> None:
    for module in modules():
        path = source_of(module)
        if top_of(module) == "search" and path.name == "__init__.py" and module != "search":
            body = ast.parse(path.read_text()).body
            assert len(body) == 1, f"{path.relative_to(ROOT)} holds more than a docstring"
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"


def test_search_itself_exports_what_is_imported_when_it_is_asked_for() -> None:
    fail_with([place("search", i.line) for i in imports("search") if ours(i.module) and not i.for_types])


def test_no_private_name_is_imported_from_another_module() -> None:
    wrong = [
        place(module, found.line)
        for module in modules()
        for found in imports(module)
        if ours(found.module) and found.name.startswith("_")
    ]
    for module in modules():
        tree = ast.parse(source_of(module).read_text())
        known = {
            name.asname or name.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and ours(node.module)
            for name in node.names
            if f"{node.module}.{name.name}" in modules()
        }
        wrong += [
            place(module, node.lineno)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known
            if node.attr.startswith("_")
        ]
    fail_with(wrong)


def test_the_reader_of_imports_sees_them_wherever_they_stand() -> None:
    code = (
        "import a\nfrom b import c\nif TYPE_CHECKING:\n    import d\n"
        "def f():\n    import e\n    class C:\n        from search.session import signals\n"
        "try:\n    import g\nexcept ImportError:\n    pass\n"
    )
    found = [(i.module, i.at_once, i.for_types) for i in _walk(ast.parse(code), at_once=True, for_types=False)]
    assert found == [
        ("a", True, False),
        ("b", True, False),
        ("d", False, True),
        ("e", False, False),
        ("search.session.signals", False, False),
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
    from search.session.prepare import prepare
    from search.study.config import parse
    from search.study.config_file import write
    from search.study.database import create
    from search.study.folder import StudyFolder

    root = tmp_path_factory.mktemp("studies")
    make_pictures(root / "pictures", {"a": 4, "b": 4})
    for name in ("begun", "new"):
        (root / name).mkdir()
        write(root / name, parse({"images": "../pictures"}, name))
    prepared = prepare(parse({"images": "../pictures"}, "begun"), root / "begun")
    create(StudyFolder(root / "begun"), prepared).close()
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
        assert not loaded & {"numpy", "optuna", "sqlalchemy", "sklearn", "PIL"}


def test_the_executors_load_neither_tensorflow_nor_the_database(tmp_path: Path) -> None:
    loaded = loaded_after("import search.executors.factory", tmp_path)
    assert "search.worker.worker" in loaded
    assert not loaded & (HEAVY | {"storage", "sqlalchemy", "alembic", "optuna"})


def test_every_module_can_be_imported_first_and_without_tensorflow(tmp_path: Path) -> None:
    light = [m for m in modules() if m not in MAY_BE_HEAVY]
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        f"    for old in [m for m in sys.modules if m.partition('.')[0] in {TOPS!r}]:\n"
        "        del sys.modules[old]\n"
        "    importlib.import_module(name)\n"
        f"    assert not {HEAVY!r} & sys.modules.keys(), name\n"
    )
    assert loaded_after(code, tmp_path) >= {"sqlalchemy", "optuna"}


def main() -> None:
    """Print the house: packages, what they import, circles."""
    for row in TABLE:
        found = {
            row_of(i.module) or i.module
            for module in modules()
            if row_of(module) == row
            for i in imports(module)
            if ours(i.module)
        }
        files = sum(row_of(module) == row for module in modules())
        lines = sum(len(source_of(m).read_text().splitlines()) for m in modules() if row_of(m) == row)
        sys.stdout.write(f"{row} ({files} files, {lines:,} lines): {', '.join(sorted(found - {row})) or 'nothing'}\n")
    together = circles()
    sys.stdout.write(f"{len(together)} circles\n")
    for circle in together:
        sys.stdout.write("".join(f"  {line}\n" for line in lines_of_circle(circle)))


if __name__ == "__main__":
    main()
