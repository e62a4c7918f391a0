"""The study folder as a value: the paths in it, finding and making one, and the commands that continue it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.origin import ENDINGS, OTHER_ENDINGS, is_archive, name_of_set
from search.errors import UsageError
from search.files import sweep_partial
from search.manifest import about
from search.stats.metrics import max_scores
from search.study import config as toml
from search.study.lease import holder
from search.text import command_line, quoted
from storage import LockedError, ServerUrl, StorageError, Store, is_url, linked, needs_upgrade, writer_of

_OUTER = "outer-"  # then the number of the fold, from 1
_BACKUP = "-backup-"
_COPY = re.compile(rf"(.+){_BACKUP}\d[\d-]*")


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder, whether it exists or not. Every property reads the file system when it is used."""

    path: Path

    def __str__(self) -> str:
        """The path as it was given."""
        return str(self.path)

    # Paths

    @property
    def toml(self) -> Path:
        """The settings, see `study.config`."""
        return self.path / toml.FILE

    @property
    def database(self) -> Path:
        """All results, see `storage`."""
        return self.path / "study.db"

    @property
    def lock(self) -> Path:
        """The file that a run locks, see `study.lease`."""
        return self.path / "study.lock"

    @property
    def logs(self) -> Path:
        """A folder with one log file per worker."""
        return self.path / "logs"

    @property
    def models(self) -> Path:
        """A folder with the chosen model."""
        return self.path / "models"

    @property
    def model(self) -> Path:
        """The chosen model."""
        return self.models / "choice.keras"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    @property
    def features(self) -> Path:
        """A folder with features of the images, computed by pre-trained networks."""
        return self._cache / "features"

    @property
    def refits(self) -> Path:
        """A folder with networks trained on all images, from which the chosen model is built."""
        return self._cache / "refits"

    @property
    def states(self) -> Path:
        """A folder with the state of long fold runs in progress, see `jobs.Saving`."""
        return self._cache / "folds"

    @property
    def looks(self) -> Path:
        """Where the chosen model looks in a few images, see `results.gradcam`; may be absent."""
        return self._cache / "looks.npz"

    @property
    def pixels(self) -> Path:
        """The images as workers read them; exists only during a session."""
        return self._cache / "pixels.npy"

    @property
    def nested(self) -> Path:
        """The folder that contains the outer folds."""
        return self.path / "nested"

    @property
    def explained(self) -> Path:
        """The folder that contains the explanations, see `study.explanation`."""
        return self.path / "explained"

    def explanation(self, start: int, goal: int) -> Path:
        """The database of the trials between two trials of the search."""
        return self.explained / f"{start}-{goal}.db"

    def explained_states(self, start: int, goal: int) -> Path:
        """As `states`, of that explanation: its trials are numbered for themselves."""
        return self._cache / f"folds-{start}-{goal}"

    def outer(self, fold: int) -> StudyFolder:
        """The study of an outer fold, counted from 0, which searches without the images of that fold."""
        return StudyFolder(self.nested / f"{_OUTER}{fold + 1}")

    @property
    def outers(self) -> list[StudyFolder]:
        """The studies of the outer folds that are there, by name."""
        return [StudyFolder(path) for path in sorted(self.nested.glob(f"{_OUTER}*")) if not path.is_symlink()]

    @property
    def parent(self) -> StudyFolder:
        """The study that this one belongs to: for an outer fold the study that contains it, else itself."""
        around = StudyFolder(self.path.parent.parent)
        is_outer = self.path.parent == around.nested and self.path.name.startswith(_OUTER)
        return around if is_outer else self

    @property
    def _cache(self) -> Path:
        return self.path / "cache"

    @property
    def _written(self) -> Iterator[Path]:
        """What a search writes into, as far as it is there."""
        yield from (self.database, self.logs, self.models, self.nested, self._cache)
        yield from self._cache.glob("*")
        yield from self.nested.glob(f"{_OUTER}*")
        for outer in self.outers:
            yield from outer._written

    # State

    @property
    def is_study(self) -> bool:
        """Whether the folder contains a study's settings or database."""
        return self.toml.is_file() or self.database.exists()

    @property
    def begun(self) -> bool:
        """Whether the study has a database."""
        return self.database.exists()

    @property
    def searched(self) -> bool:
        """Whether a process searches this study, or one of its outer folds, which have locks of their own."""
        return any(study.searcher is not None for study in (self, *self.outers))

    @property
    def searcher(self) -> str | None:
        """The process that searches this study, in words: here, or for a study on a server elsewhere; None: none."""
        return holder(self.lock) or writer_of(self.database)

    @property
    def server(self) -> ServerUrl | None:
        """Where the study's results are if they are on a server. Raises StorageError for a damaged link to one."""
        return linked(self.database)

    @property
    def model_is_outdated(self) -> bool:
        """Whether there is a model, but an earlier release wrote it, or its description cannot be read."""
        try:
            return self.model.is_file() and about(self.model).outdated
        except UsageError:
            return True

    def model_is_current(self, store: Store) -> bool:
        """Whether there is a model, written by this release and chosen from all results in `store`, the study's."""
        choices = store.choices()
        is_of_all_results = bool(choices) and choices[-1].folds == store.fold_runs()
        return is_of_all_results and self.model.is_file() and not self.model_is_outdated

    @contextlib.contextmanager
    def read(self) -> Iterator[Store]:
        """The database, read only. Raises StorageError; if the database is locked, its message names the process."""
        try:
            if needs_upgrade(self.database):
                command = self.parent.command("run")
                raise StorageError(f"{self}: an older release wrote it; `{command}` upgrades it, after a backup")
            with Store.open(self.database, read_only=True, max_scores=max_scores()) as store:
                yield store
        except LockedError as error:
            who = self.searcher or "no run of `search`, so by another program, such as a database browser"
            raise StorageError(f"{error} The study is held by {who}.") from error

    # Finding and making

    @classmethod
    def find(cls, given: Path | None) -> StudyFolder:
        """The study in the given folder; None: in the current folder, else the only study in a subfolder of it.

        Raises UsageError, which names the candidates, if there is none or more than one.
        """
        if given is not None:
            if cls(given).is_study:
                return cls(given)
            makes = command_line("run", "IMAGES")
            if is_url(str(given)):
                copies = command_line("copy", "URL", "FOLDER")
                raise UsageError(f"a study is named by its folder, not by a URL; `{copies}` makes a folder of one")
            if not given.exists():
                raise UsageError(f"{given} does not exist; `{makes}` makes a study")
            raise UsageError(f"{given} is not a study: it has no {toml.FILE}; `{makes}` makes one")
        here = cls(Path())
        if here.is_study:
            return here
        below = _without_copies([path.parent for path in here.path.glob(f"[!.]*/{toml.FILE}")])
        if len(below) == 1:
            return cls(below[0])
        if below:
            names = ", ".join(quoted(str(path)) for path in below)
            raise UsageError(f"there are several studies here; name one: {names}")
        raise UsageError(f"there is no study here; name one, or make one with `{command_line('run', 'IMAGES')}`")

    @classmethod
    def new(cls, images: Path, directory: Path | None, also: Sequence[Path] = ()) -> StudyFolder:
        """The folder for a study of `images` and `also`: `directory`, else IMAGES-study here; never among the images.

        Raises UsageError if there are no images, or the study cannot be in that folder. Creates nothing.
        """
        roots = [_resolved(root) for root in (images, *also)]
        if twice := [root for number, root in enumerate(roots) if root in roots[:number]]:
            raise UsageError(f"{twice[0]} is named twice; name each folder of images once")
        folder = directory or Path(f"{name_of_set(roots)}-study")
        for given, root in zip((images, *also), roots, strict=True):
            if folder.resolve().is_relative_to(root):
                if directory is not None:
                    raise UsageError(f"--dir {directory} is within the images, {given}; name a folder outside of them")
                folder = Path(os.path.relpath(root.parent / folder.name))
        if not folder.parent.exists():
            raise UsageError(f"--dir {folder}: there is no folder {folder.parent}; make it first, or name another")
        return cls(folder)

    def check(self) -> None:
        """Raises UsageError if the folder cannot be written, or leads elsewhere: called before the images are read."""
        path = self.path
        if out := next((one for one in self._written if not self.contains(one)), None):
            raise UsageError(
                f"{out} is a link that leads out of the study, and a search would write there: remove it; to keep the "
                "study on another disk, move the whole folder"
            )
        where = path if path.is_dir() else path.parent
        effective = os.access in os.supports_effective_ids
        if where.is_dir() and not os.access(where, os.W_OK | os.X_OK, effective_ids=effective):
            why = "Read-only file system" if os.statvfs(where).f_flag & os.ST_RDONLY else "Permission denied"
            if where is path:
                raise UsageError(f"{path} cannot be written: {why}; a study needs a folder it may write")
            raise UsageError(f"{path} cannot be made: {why}; name another study folder with --dir")

    def make(self) -> None:
        """Make the folder, for an outer fold also its parent. Raises UsageError if it cannot be made."""
        try:
            if self.parent != self:
                self.path.parent.mkdir(exist_ok=True)
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self} cannot be made: {error.strerror}; name another study folder with --dir") from None

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Make the folder, as `make` does. A new one that is empty when the block raises is removed.

        Raises UsageError if it cannot be made.
        """
        new = [path for path in (self.path, self.path.parent) if not path.exists()]
        self.make()
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):  # there is something in it
                for path in new:
                    path.rmdir()
            raise

    @contextlib.contextmanager
    def pixels_on_disk(self, pixels: NDArray[np.uint8]) -> Iterator[Path]:
        """Write `pixels` to a .npy file, which all workers map into memory as one copy, and remove it afterwards.

        Yields its absolute path. `pixels`: [images, height, width, channels].
        """
        path = self.pixels.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # in a study folder from a stranger it could be a link to any file
        np.save(path, pixels, allow_pickle=False)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the folder has other files
                path.parent.rmdir()

    def sweep(self) -> None:
        """Remove partial files of processes that were killed. Only while the study is locked."""
        for written in (self.toml, self.report, self.report.with_suffix(".md")):
            sweep_partial(written)
        for path in self.path.glob(f".{self.database.name}.*.new*"):
            path.unlink(missing_ok=True)
        if not self.explained.is_symlink():
            for path in self.explained.glob(".*.db.*.new*"):
                path.unlink(missing_ok=True)
        refits = ((self.refits, ".*.keras"), (self.refits, ".*.npz"))
        states = ((path, ".*.state") for path in (self.states, *self._cache.glob("folds-*")))
        others = ((self.features, ".*.npy"), (self._cache, ".looks.*.npz"), (self.models, ".*.keras"))
        for folder, pattern in (*refits, *states, *others):
            if self.contains(folder):
                for path in folder.glob(pattern):
                    path.unlink(missing_ok=True)

    def contains(self, folder: Path) -> bool:
        """Whether a folder is in the study: in that of a stranger it could be a link to any other."""
        return folder.resolve().is_relative_to(self.path.resolve())

    # What to type

    def command(self, verb: str, *arguments: str | Path) -> str:
        """`search VERB STUDY ARGUMENTS`, as it can be typed. To continue, see `study.continuing`."""
        return command_line(verb, self.path, *arguments)


def _resolved(images: Path) -> Path:
    """The whole path of images. Raises UsageError if that is no folder and no archive, or study.toml cannot hold it."""
    if not images.is_dir() and not is_archive(images):
        what = "is not a folder" if images.exists() else "does not exist"
        if images.is_file() and images.name.lower().endswith(OTHER_ENDINGS):
            what = f"is an archive that is not read (only {', '.join(ENDINGS)} are): unpack it, and name the folder"
        raise UsageError(f"{images} {what}; a study needs a folder of images with one folder a class")
    whole = images.resolve()
    try:
        str(whole).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{images}: its path is not valid UTF-8, which {toml.FILE} cannot hold; rename the folder"
        ) from None
    return whole


def backup_name(study: str, stamp: str) -> str:
    """The name of a copy of a study beside it. `stamp`: date and time, of digits."""
    return f"{study}{_BACKUP}{stamp}"


def _without_copies(studies: list[Path]) -> list[Path]:
    """Sorted, without those that have the name of a copy of another."""
    names = {path.name for path in studies}
    return sorted(path for path in studies if not (found := _COPY.fullmatch(path.name)) or found[1] not in names)
