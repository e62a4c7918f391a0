"""The file of a custom model: named on the command line, hashed with the files beside it that it imports, and loaded.

It is the user's code and runs with the user's rights. It is loaded only if it was named on the command line, by its
path, never by a name on `sys.path`, and only if its bytes, and those of the files beside it that it imports, have the
hash that they had then.
"""

from __future__ import annotations

import ast
import hashlib
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from spaces.parameters import SpaceError


@dataclass(frozen=True)
class ModelFile:
    """A builder: a Python file, the name of a function or HyperModel in it, and a hash of the source."""

    path: str  # absolute
    function: str
    sha256: str  # hex, of the file's bytes; if it imports files beside it, of all their hashes

    @property
    def name(self) -> str:
        """As the user names it, without the folder."""
        return f"{Path(self.path).name}:{self.function}"


class ChangedError(Exception):
    """The file is not the one that was named. The message says which file."""


def named(text: str) -> ModelFile:
    """The builder that 'file.py:build' names. Raises SpaceError where there is no such file or no name."""
    file, _, function = text.rpartition(":")
    if text.endswith(".ipynb"):  # without a function
        file, function = text, "build"
    if not file or not function.isidentifier():
        raise SpaceError(f"--model: must be FILE.py:FUNCTION, such as net.py:build, got {text!r}")
    path = Path(file)
    if path.suffix == ".ipynb":
        script, output = path.with_suffix(".py"), ""
        if script.exists():  # nbconvert would write over it
            script, output = (
                path.with_name(f"{path.stem}_notebook.py"),
                f" --output {shlex.quote(f'{path.stem}_notebook')}",
            )
        raise SpaceError(
            f"--model: {file} is a notebook; save its code as a Python file with `jupyter nbconvert --to script "
            f"{shlex.quote(file)}{output}`, then name that: --model {shlex.quote(f'{script}:{function}')}"
        )
    if not path.is_file():
        raise SpaceError(f"--model: {file} is not a file; give the path of the Python file that has {function}")
    try:
        contents = sources(path.resolve())
    except OSError as error:
        raise SpaceError(f"--model: {error.filename} cannot be read: {error.strerror}") from None
    return ModelFile(str(path.resolve()), function, _sha256(contents))


def beside(file: ModelFile) -> list[str]:
    """The names of files in the same folder that it imports. Runs nothing. Raises OSError."""
    path = Path(file.path)
    return [source.name for source in sources(path) if source != path]


class Source:
    """The source of a model file and of the files beside it that it imports, verified and compiled once."""

    def __init__(self, file: ModelFile) -> None:
        """Raises ChangedError where a file is not as it was when it was named."""
        self._path = path = Path(file.path)
        try:
            contents = sources(path)
        except OSError as error:
            raise ChangedError(f"{error.filename} cannot be read: {error.strerror}") from error
        if _sha256(contents) != file.sha256:
            files = " or a file beside it that it imports" if len(contents) > 1 else ""
            raise ChangedError(f"{path}{files} changed since the search began; start the search again")
        self._name = f"_own_model_{file.sha256[:16]}"  # a name that no import uses
        self._contents = contents
        self._code: CodeType | None = None

    def run(self) -> ModuleType:
        """A new module, run from the beginning, as are the modules beside it that it imports.

        Until the next is run, imports of modules beside it are found, also those within functions. Raises whatever
        the user's code raises.
        """
        path = self._path
        _Beside.serve({source.stem: source for source in self._contents if source != path}, self._contents)
        if self._code is None:
            self._code = _compiled(self._contents[path], path)
        module = ModuleType(self._name)
        module.__file__ = str(path)
        sys.modules[module.__name__] = module  # where dataclasses and typing look up what annotations say
        exec(self._code, module.__dict__)  # noqa: S102 - the user named this file to be run
        return module


class _Beside(MetaPathFinder, Loader):
    """Imports the hashed modules of the user's folder, unless another module has the name, and nothing else."""

    def __init__(self, modules: Mapping[str, Path], sources: Mapping[Path, bytes]) -> None:
        self._modules, self._sources = modules, sources

    @classmethod
    def serve(cls, modules: Mapping[str, Path], sources: Mapping[Path, bytes]) -> None:
        """Replace the modules that were served before: a process has one model file at a time."""
        for old in [finder for finder in sys.meta_path if isinstance(finder, cls)]:
            sys.meta_path.remove(old)
            for name in old._modules:
                sys.modules.pop(name, None)
        if modules:
            sys.meta_path.append(cls(modules, sources))

    def find_spec(self, fullname: str, _path: object, _target: ModuleType | None = None) -> ModuleSpec | None:
        """See MetaPathFinder."""
        module = self._modules.get(fullname)
        if module is None:
            return None
        spec = ModuleSpec(fullname, self, origin=str(module))
        spec.has_location = True  # it gets a __file__
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run the bytes that were hashed, even if the file has changed since."""
        path = self._modules[module.__name__]
        exec(_compiled(self._sources[path], path), module.__dict__)  # noqa: S102 - imported by the file that was named


def sources(path: Path) -> dict[Path, bytes]:
    """The file and the files of its folder that it imports, directly or not; found by parsing, without running."""
    contents = {path: path.read_bytes()}
    waiting = [path]
    while waiting:
        for name in _imported(contents[waiting.pop()]):
            beside = path.with_name(f"{name}.py")
            if beside not in contents and beside.is_file():
                contents[beside] = beside.read_bytes()
                waiting.append(beside)
    return contents


def _imported(source: bytes) -> Iterator[str]:
    """The first parts of the names of imported modules; none if it is not valid Python, which loading will report."""
    with suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def _sha256(sources: Mapping[Path, bytes]) -> str:
    hashes = {path.name: hashlib.sha256(source).hexdigest() for path, source in sources.items()}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256("\n".join(f"{name} {hashes[name]}" for name in sorted(hashes)).encode()).hexdigest()


def _compiled(source: bytes, path: Path) -> CodeType:
    return compile(source, str(path), "exec", dont_inherit=True)  # without our `from __future__`
