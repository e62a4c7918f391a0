"""Who may import whom, as a table. Checked in the source of every module, and by what a new Python process loads.

`python -m tests.test_imports` prints each package, what it imports, and the number of circles of files.
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

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from tests.pictures import make_pictures
from tests.warm import ROOT

TOPS = ("cli", "reports", "search", "spaces", "storage")

_TABLE = {
    # used everywhere
    "search.errors": "",
    "search.seeds": "",
    "search.text": "",
    "search.files": "",
    "search.native": "",
    "search.manifest": "search.errors search.files",
    # what is searched, and what is stored
    "spaces": "",
    "storage": "",
    # the search
    "search.data": "search.errors search.files search.native search.seeds search.text storage.records",
    "search.stats": "storage.records",
    "search.diagnosis": "spaces",
    "search.jobs": "search.diagnosis spaces",
    "search.samplers": "search.errors search.native search.seeds search.stats spaces storage.records",
    "search.worker": (
        "search.files search.native search.seeds search.jobs search.manifest search.diagnosis search.stats.metrics "
        "search.stats.chance search.stats.contributions search.stats.unlike spaces"
    ),
    "search.executors": "search.errors search.files search.text search.native search.jobs search.worker spaces",
    "search.study": (
        "search.errors search.files search.seeds search.text search.manifest search.stats search.data "
        "search.samplers.catalog spaces storage"
    ),
    "search.results": (
        "search.files search.seeds search.stats search.diagnosis search.samplers.optuna_study search.study.evidence "
        "search.study.explanation search.study.folder search.data.names search.data.series spaces storage"
    ),
    "search.trackers": (
        "search.errors search.text search.stats.metrics search.study.folder search.results.summary spaces "
        "storage.records"
    ),
    "search.export": (
        "search.errors search.files search.native search.manifest search.text search.data search.study "
        "search.results.agreement search.results.predictions search.session.budget search.stats.calibration "
        "search.stats.metrics search.stats.unlike search.worker.augmentation search.worker.keras_internals "
        "search.worker.outputs search.worker.pixel_range spaces storage"
    ),
    "search.session": (
        "search.errors search.seeds search.text search.native search.stats search.data search.diagnosis search.jobs "
        "search.manifest search.samplers search.executors search.study search.results search.worker.describe spaces "
        "storage"
    ),
    "search.commands": (
        "search.errors search.seeds search.text search.files search.native search.manifest search.data search.stats "
        "search.diagnosis search.jobs search.samplers search.executors search.study search.results search.export "
        "search.session search.trackers search.worker.latency search.worker.preview spaces storage"
    ),
    # views and interfaces
    "reports": (
        "search.files search.text search.stats search.diagnosis search.results search.data.findings spaces "
        "storage.records"
    ),
    "search.api": (
        "search.commands search.results search.errors search.text search.study.continuing search.study.folder "
        "search.data.findings search.diagnosis.result search.stats.estimate reports storage"
    ),
    "search.__main__": "cli search.cli",
    "search.cli": ("search.commands search.results search.errors search.text search.session.signals reports"),
    "cli": (
        "search.cli search.commands search.results search.errors search.text search.session.signals reports "
        "spaces storage"
    ),
}
TABLE = {row: tuple(allowed.split()) for row, allowed in _TABLE.items()}
"""Package, or module outside of the packages -> what it may import of the project, in functions and for types too."""

HEAVY = {"tensorflow", "keras", "keras_tuner", "torch", "jax"}
MAY_BE_HEAVY = {
    "search.export.code.plain",
    "search.worker.augmentation",
    "search.worker.gradcam",
    "search.worker.graph_sharing",
    "search.worker.inputs",
    "search.worker.keras_heads",
    "search.worker.merging",
    "search.worker.packaging",
    "search.worker.trainer",
    "search.worker.trainer_cache",
    "search.worker.epoch_program",
    "search.worker.redrawing",
    "search.worker.stacked",
    "search.worker.stacked_layers",
    "search.worker.xla_kernels",
    "search.worker.fold_run",
    "search.worker.batches",
    "search.worker.outputs",
    "search.worker.pixel_range",
    "spaces.compiling",
    "spaces.presets.parts",
}
"""Modules that import Keras and TensorFlow at their top. All others import these inside functions."""

MAY_BE_PRIVATE = {"search.worker.keras_internals"}
"""The one module that may use what Keras and TensorFlow do not export."""
PRIVATE_OF_OTHERS = {"_gamma": "scikit-learn's, of an SVM"}
"""Private names of other libraries, in modules that import Keras or TensorFlow."""
PRIVATE_MODULES = ("keras.src", "tensorflow.python")


@dataclass(frozen=True)
class Import:
    """One import statement of a module."""

    module: str  # that is imported
    line: int
    at_once: bool  # whether it runs when the importing module is imported
    for_types: bool  # under TYPE_CHECKING: never run
    name: str = ""  # imported from the module; empty for the module itself


def source_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def modules() -> tuple[str, ...]:
    """Every module of the project except the migrations, which Alembic loads as files."""
    names = ["cli"]
    for top in TOPS[1:]:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" not in parts:
                names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return tuple(names)


@cache
def imports(module: str) -> tuple[Import, ...]:
    """All imports of a module, also those inside functions."""
    return tuple(_traverse(ast.parse(source_of(module).read_text()), at_once=True, for_types=False))


def _traverse(node: ast.AST, *, at_once: bool, for_types: bool) -> Iterator[Import]:
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
                yield from _traverse(child, at_once=False, for_types=True)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _traverse(child, at_once=False, for_types=for_types)
            case _:
                yield from _traverse(child, at_once=at_once, for_types=for_types)


def place(module: str, line: int) -> str:
    """file:line: the text of the line."""
    path = source_of(module)
    return f"{path.relative_to(ROOT)}:{line}: {path.read_text().splitlines()[line - 1].strip()}"


def top_of(module: str) -> str:
    return module.partition(".")[0]


def ours(module: str) -> bool:
    return top_of(module) in (*TOPS, "tests")


def within(module: str, packages: Iterable[str]) -> bool:
    """Whether the module is one of these packages or in one of them."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def row_of(module: str) -> str | None:
    """The row of the table for a module; None for a package that only contains others."""
    return next((row for row in TABLE if within(module, [row])), None)


def reached(module: str, *, at_once: bool = False) -> set[str]:
    """Modules of the project that are imported with a module, directly or indirectly, and the packages around them."""
    names: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in names or name not in modules():
            continue
        names.add(name)
        waiting += [name.rpartition(".")[0]]
        waiting += [i.module for i in imports(name) if not i.for_types and (i.at_once or not at_once)]
    return names


def circles() -> list[list[str]]:
    """Modules that import each other, directly or indirectly, in functions and for types too; a list per circle."""
    names = modules()
    graph = np.array([[any(i.module == other for i in imports(name)) for other in names] for name in names], int)
    count, circle_of = connected_components(graph, connection="strong")
    groups = [[name for name, circle in zip(names, circle_of, strict=True) if circle == n] for n in range(count)]
    return [group for group in groups if len(group) > 1]


def lines_of_circle(circle: Sequence[str]) -> list[str]:
    return [place(name, i.line) for name in circle for i in imports(name) if i.module in circle]


def fail_with(lines: Sequence[str]) -> None:
    assert not lines, "\n" + "\n".join(lines)


# In the source


def test_each_package_imports_what_its_row_allows() -> None:
    """Imports for types count too: they are a dependency as well."""
    wrong = []
    for module in modules():
        row = row_of(module)
        if row is None:
            continue
        for i in imports(module):
            if ours(i.module) and not within(i.module, (row, *TABLE[row])):
                wrong.append(place(module, i.line))
    fail_with(wrong)


def test_every_module_has_a_row() -> None:
    assert [module for module in modules() if row_of(module) is None] == ["search"]
    assert all(source_of(row).exists() for row in TABLE)
    assert {*MAY_BE_HEAVY, *MAY_BE_PRIVATE} <= {*modules()}


def test_there_is_no_circle_of_files() -> None:
    fail_with([line for circle in circles() for line in lines_of_circle(circle)])


def test_workers_never_see_the_database() -> None:
    wrong = [
        f"{module} reaches {other}"
        for module in modules()
        if within(module, ("search.worker", "search.executors"))
        for other in sorted(reached(module))
        if top_of(other) == "storage"
    ]
    fail_with(wrong)


def test_keras_and_tensorflow_are_imported_only_where_models_are_built_and_trained() -> None:
    fail_with(
        [
            place(module, i.line)
            for module in modules()
            for i in imports(module)
            if top_of(i.module) in HEAVY and i.at_once and module not in MAY_BE_HEAVY
        ]
    )


def test_modules_that_import_keras_are_imported_only_inside_functions() -> None:
    for module in modules():
        if module not in MAY_BE_HEAVY:
            heavy = reached(module, at_once=True) & MAY_BE_HEAVY
            assert not heavy, f"importing {module} imports {heavy}"


def test_what_keras_and_tensorflow_do_not_export_is_used_only_in_two_modules() -> None:
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


def test_the_packages_of_search_contain_only_a_docstring() -> None:
    for module in modules():
        path = source_of(module)
        if top_of(module) == "search" and path.name == "__init__.py" and module != "search":
            body = ast.parse(path.read_text()).body
            assert len(body) == 1, f"{path.relative_to(ROOT)} holds more than a docstring"
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"


def test_search_itself_imports_nothing_before_it_is_used() -> None:
    fail_with([place("search", i.line) for i in imports("search") if ours(i.module) and not i.for_types])


def test_no_private_name_is_imported_from_another_module() -> None:
    wrong = [
        place(module, i.line)
        for module in modules()
        for i in imports(module)
        if ours(i.module) and i.name.startswith("_")
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


def test_imports_are_read_wherever_they_are() -> None:
    code = (
        "import a\nfrom b import c\nif TYPE_CHECKING:\n    import d\n"
        "def f():\n    import e\n    class C:\n        from search.session import signals\n"
        "try:\n    import g\nexcept ImportError:\n    pass\n"
    )
    read = [(i.module, i.at_once, i.for_types) for i in _traverse(ast.parse(code), at_once=True, for_types=False)]
    assert read == [
        ("a", True, False),
        ("b", True, False),
        ("d", False, True),
        ("e", False, False),
        ("search.session.signals", False, False),
        ("g", True, False),
    ]


# In a new process


def loaded_after(code: str, cwd: Path) -> set[str]:
    """The modules that a new Python process has loaded after running some code."""
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
    """A folder with two studies: one with a database, and one without."""
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


@pytest.mark.first(3)
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


@pytest.mark.parametrize("first", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_module_can_be_imported_without_tensorflow_and_as_the_first(tmp_path: Path, first: bool) -> None:
    light = [m for m in modules() if m not in MAY_BE_HEAVY]
    forget = (
        f"    for old in [m for m in sys.modules if m.partition('.')[0] in {TOPS!r}]:\n        del sys.modules[old]\n"
    )
    code = (
        f"import importlib, sys\nfor name in {light!r}:\n{forget if first else ''}"
        f"    importlib.import_module(name)\n    assert not {HEAVY!r} & sys.modules.keys(), name\n"
    )
    assert loaded_after(code, tmp_path) >= {"sqlalchemy", "optuna"}


def main() -> None:
    """Print the packages, what they import, and circles."""
    for row in TABLE:
        imported = {
            row_of(i.module) or i.module
            for module in modules()
            if row_of(module) == row
            for i in imports(module)
            if ours(i.module)
        }
        files = sum(row_of(module) == row for module in modules())
        lines = sum(len(source_of(m).read_text().splitlines()) for m in modules() if row_of(m) == row)
        sys.stdout.write(
            f"{row} ({files} files, {lines:,} lines): {', '.join(sorted(imported - {row})) or 'nothing'}\n"
        )
    groups = circles()
    sys.stdout.write(f"{len(groups)} circles\n")
    for circle in groups:
        sys.stdout.write("".join(f"  {line}\n" for line in lines_of_circle(circle)))


if __name__ == "__main__":
    main()
