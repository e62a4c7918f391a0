"""The pictures that are to be classified: files, folders of them, and archives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from search.data.archives import unpacked
from search.data.decoding import FileRemark
from search.data.layout import files_below, name_of
from search.data.origin import is_archive
from search.data.tree import Note
from search.errors import UsageError


@dataclass(frozen=True)
class InputFile:
    """A file to classify, or the reason why it cannot be."""

    path: Path
    named: bool  # whether the user named it; else it is in a folder or an archive that the user named
    problem: FileRemark | None = None  # known without opening it
    member: str = ""  # of a file in an archive: what it is called for the user

    @property
    def shown(self) -> str:
        """What it is called in messages and results: one printable line."""
        return self.member or name_of(self.path)


@contextmanager
def open_inputs(
    given: Iterable[Path], progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Iterator[list[InputFile]]:
    """The given files, and the files in given folders, listed as for training: without hidden files.

    Those of ZIP and TAR files too, which are unpacked until the end; `progress` is called with (files unpacked, 0)
    meanwhile. Raises UsageError if a path does not exist, or is neither a file nor a folder, and as `unpacked` does.
    """
    with ExitStack() as stack:
        found: list[InputFile] = []
        for path in given:
            if is_archive(path):
                inside = stack.enter_context(unpacked(path, progress=lambda done: progress(done, 0)))
                found += _members(path, inside.folder, inside.notes)
            else:
                found += _listed(path)
        if not found:
            raise UsageError("there are no files in what was named; name picture files, or folders of them")
        yield found


def _listed(path: Path) -> list[InputFile]:
    if path.is_dir():
        return _inside(path)
    if path.is_file():
        return [InputFile(path, named=True)]
    problem = "is neither a file nor a folder" if path.exists() else "does not exist"
    raise UsageError(f"{path} {problem}; name picture files, or folders of them")


def _inside(folder: Path, notes: Iterable[Note] = ()) -> list[InputFile]:
    """The files below a folder; `notes`: on more files that it should have."""
    files, more = files_below(folder)
    return [
        *(InputFile(file, named=False) for file in files),
        *(
            InputFile(folder / note.path, named=False, problem=FileRemark(note.kind, note.message))
            for note in (*notes, *more)
            if note.kind != "hidden"
        ),
    ]


def _members(archive: Path, folder: Path, notes: Iterable[Note]) -> list[InputFile]:
    """The pictures of an archive that is unpacked to `folder`, called as if it were a folder."""
    return [replace(file, member=name_of(archive / file.path.relative_to(folder))) for file in _inside(folder, notes)]
