"""The roots of a set of images, opened for reading: folders as they are, archives unpacked for as long as it takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.data.archives import unpacked
from search.data.origin import is_archive, prefixes_of
from search.data.tree import Note


@dataclass(frozen=True)
class Place:
    """A root that can be read as a folder."""

    folder: Path  # for an archive a temporary one
    given: Path  # as the user named it, for messages
    prefix: str = ""  # what its paths begin with; '' where there is one root alone
    notes: tuple[Note, ...] = ()  # on what of an archive was left out

    @property
    def is_archive(self) -> bool:
        """Whether it was unpacked."""
        return self.folder != self.given

    def file_of(self, path: str) -> Path | None:
        """The file of an image, `path` as in `ImageSet.paths`; None if none is below the folder, links followed."""
        start = f"{self.prefix}/" if self.prefix else ""
        if not path.startswith(start):
            return None
        try:
            file = (self.folder / path[len(start) :]).resolve(strict=True)
            return file if file.is_relative_to(self.folder.resolve()) and file.is_file() else None
        except (OSError, RuntimeError, ValueError):  # RuntimeError: a circle of links; ValueError: NUL in the name
            return None


@contextmanager
def opened(
    roots: Sequence[Path],
    wanted: Collection[str] | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Iterator[list[Place]]:
    """The roots as folders; archives are unpacked, and removed at the end.

    `wanted`: the paths of the images that are read, as `ImageSet.paths`; None: all. `progress`: called with the number
    of pictures that were unpacked of an archive. Raises UsageError.
    """
    prefixes = prefixes_of(roots)
    with ExitStack() as stack:
        places = []
        for root, prefix in zip(roots, prefixes, strict=True):
            if not is_archive(root):
                places.append(Place(root, root, prefix))
                continue
            start = f"{prefix}/" if prefix else ""
            of_root = None if wanted is None else [path[len(start) :] for path in wanted if path.startswith(start)]
            found = stack.enter_context(unpacked(root, of_root, progress))
            notes = tuple(Note(start + note.path, note.kind, note.message, note.left_out) for note in found.notes)
            places.append(Place(found.folder, root, prefix, notes))
        yield places
