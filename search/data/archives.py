"""Pictures in a ZIP or TAR file, read without trusting it.

The pictures are copied into a new temporary folder, and only they: a member is written if its name is that of a picture
and each part of it is a plain name. No link, device, absolute path or `..` is followed or made, so nothing outside of
the folder can be reached. All sizes have limits, which hold for what is read, not for what the archive claims.
"""

from __future__ import annotations

import gzip
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from search.data.decoding import MAX_BYTES
from search.data.origin import stem_of
from search.data.tree import Note, is_hidden, is_picture
from search.errors import UsageError
from search.files import temporary_folder
from search.text import as_unicode, printable

MAX_MEMBERS = 1_000_000
LEAST_LIMIT, MOST_RATIO = 2_000_000_000, 20  # bytes that may be read of any archive; more of its own size, in times
_MAX_PIECE = 128_000_000  # bytes that a library may ask for at once: a table of contents, or one header
_MAX_PART, _MAX_DEPTH, _MAX_NAME = 255, 32, 2000  # of a name: bytes of a part, parts, bytes
_CHUNK = 1 << 20
_ZIP_STARTS = frozenset({b"PK\x03\x04", b"PK\x05\x06"})  # of one with members, and without
_NOTES = 200  # of one kind; more are counted
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_DAMAGED = (
    struct.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    gzip.BadGzipFile,
    ValueError,
    NotImplementedError,
)


class _LimitError(Exception):
    """More was to be read than the limits allow; the message says what."""


@dataclass(frozen=True)
class Unpacked:
    """The pictures of an archive in a temporary folder."""

    folder: Path
    notes: tuple[Note, ...]  # on members that were left out


@contextmanager
def unpacked(
    path: Path, wanted: Collection[str] | None = None, progress: Callable[[int], None] = lambda _done: None
) -> Iterator[Unpacked]:
    """The pictures of an archive, in a folder that is removed at the end; the folder's name is the archive's.

    Args:
        path: of a ZIP or TAR file.
        wanted: names of members as `Unpacked.folder` has them, '/' between parts; None: all pictures.
        progress: called with the number of pictures that were unpacked, after each.

    Raises:
        UsageError: it is damaged, larger than the limits, or there is no room for it.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder("smallsearch-")) / (stem_of(path).strip(".") or "archive")
            folder.mkdir()
            target = _Target(folder, None if wanted is None else frozenset(wanted), progress)
            _unpack(path, target)
        except OSError as error:
            raise UsageError(
                f"{printable(as_unicode(path))}: its pictures are unpacked into a temporary folder for reading, which "
                f"cannot be ({error.strerror or error}); name another place with the variable TMPDIR, or unpack it "
                "yourself and name the folder"
            ) from None
        yield Unpacked(folder, target.all_notes)


def _unpack(path: Path, target: _Target) -> None:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise UsageError(f"{printable(as_unicode(path))}: cannot be read ({error.strerror})") from None
    try:
        with raw:
            limit = max(LEAST_LIMIT, MOST_RATIO * os.fstat(raw.fileno()).st_size)
            start = raw.read(4)
            raw.seek(0)
            members = _zip_members(raw, limit) if start in _ZIP_STARTS else _tar_members(raw, start, limit)
            for number, member in enumerate(members):
                if number >= MAX_MEMBERS:
                    raise _LimitError(f"more than {MAX_MEMBERS:,} members")
                target.take(member)
    except _LimitError as error:
        raise UsageError(
            f"{printable(as_unicode(path))}: not read, since it would unpack to {error}, as an archive that is "
            "made to fill a disk does. If that is right, unpack it yourself and name the folder"
        ) from None
    except _DAMAGED as error:
        reason = printable(" ".join(str(error).split()))[:200] or type(error).__name__
        raise UsageError(
            f"{printable(as_unicode(path))}: no ZIP or TAR archive that can be read to its end ({reason}); get it "
            "anew, or unpack it yourself and name the folder"
        ) from None


# ---- what an archive holds


@dataclass(frozen=True)
class _Member:
    """A file or folder in an archive."""

    name: str  # as the archive spells it
    size: int  # bytes, as the archive claims
    is_folder: bool
    problem: tuple[str, str] | None  # kind and message of a note on what is neither a folder nor a plain file
    open: Callable[[], IO[bytes]]
    alone: bool  # whether the others can be read where it is damaged


_LINK = "link", "A link in an archive: not followed."
_ENCRYPTED = "encrypted", "Encrypted: left out."
_DEVICE = "not an image", "A device, pipe or sparse file in an archive: left out."
_METHOD = "unsupported format", "Compressed in a way that is not read (only stored and deflated members are): left out."


def _zip_members(raw: IO[bytes], limit: int) -> Iterator[_Member]:
    with zipfile.ZipFile(_Limited(raw, limit)) as archive:
        infos = archive.infolist()
        total = sum(info.file_size for info in infos if not info.is_dir())
        if total > limit:
            raise _LimitError(f"{total / 1e9:,.1f} GB")
        for info in infos:
            mode, problem = info.external_attr >> 16, None
            if info.flag_bits & 0x1:
                problem = _ENCRYPTED
            elif stat.S_ISLNK(mode):
                problem = _LINK
            elif info.compress_type not in _METHODS:
                problem = _METHOD
            yield _Member(
                info.filename, info.file_size, info.is_dir(), problem, _opener(archive.open, info), alone=True
            )


def _tar_members(raw: IO[bytes], start: bytes, limit: int) -> Iterator[_Member]:
    stream: Any = gzip.GzipFile(fileobj=raw) if start.startswith(b"\x1f\x8b") else raw
    limited = _Limited(stream, limit)
    with tarfile.open(fileobj=limited, mode="r:") as archive:  # type: ignore[call-overload]
        while (member := archive.next()) is not None:
            archive.members.clear()  # it keeps all that it passes
            problem = None
            if member.issym() or member.islnk():
                problem = _LINK
            elif not member.isdir() and (not member.isfile() or member.issparse()):
                problem = _DEVICE
            open_ = _opener(archive.extractfile, member)
            yield _Member(member.name, member.size, member.isdir(), problem, open_, alone=False)
        limited.seek(archive.offset)  # where a block of zeros is
        if not limited.read(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it ends without a mark of its end")


def _opener(open_: Callable[[Any], IO[bytes] | None], member: Any) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        stream = open_(member)
        if stream is None:
            raise tarfile.ReadError("a member is no file")
        return stream

    return opened


class _Limited:
    """A stream that gives at most `limit` bytes beyond its start, and refuses to give very much at once."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._limit = stream, limit

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _MAX_PIECE:
            data: bytes = self._stream.read(_MAX_PIECE + 1)
            if len(data) > _MAX_PIECE:
                raise _LimitError(f"more than {_MAX_PIECE // 1_000_000} MB of names")
        else:
            data = self._stream.read(size)
        self._check(self._stream.tell())
        return data

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            self._check(place)
        return int(self._stream.seek(place, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """The stream is closed by who opened it."""

    def _check(self, place: int) -> None:
        if place > self._limit:
            raise _LimitError(f"more than {self._limit / 1e9:,.1f} GB")


# ---- what is written


@dataclass
class _Target:
    """The folder into which pictures are copied, and notes on what is not."""

    folder: Path
    wanted: frozenset[str] | None
    progress: Callable[[int], None]
    pictures: int = 0  # that were copied
    notes: list[Note] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def all_notes(self) -> tuple[Note, ...]:
        more = [
            Note(".", kind, f"… and {count - _NOTES} more in the archive.", True)
            for kind, count in sorted(self.counts.items())
            if count > _NOTES
        ]
        return (*self.notes, *more)

    def take(self, member: _Member) -> None:
        """Copy a member, make its folder, or write down why not."""
        parts = parts_of(member.name)
        if parts is None:
            self._leave_out(member, "odd name", "Its name leads out of the archive, or is none: left out.")
        elif any(is_hidden(part) for part in parts):
            self._leave_out(member, "hidden", "Hidden, or made by an operating system: ignored.")
        elif self.wanted is not None and "/".join(parts) not in self.wanted:
            return
        elif member.problem:
            self._leave_out(member, *member.problem)
        elif member.is_folder:
            self._make(self.folder.joinpath(*parts), member)
        elif not is_picture(parts[-1]):
            self._leave_out(member, "not an image", "Not a picture by its name: not unpacked.")
        elif member.size > MAX_BYTES:
            message = f"Too large ({member.size / 1e6:.0f} MB; at most {MAX_BYTES // 1_000_000} MB are read): left out."
            self._leave_out(member, "oversized", message)
        else:
            self._copy(member, self.folder.joinpath(*parts))

    def _copy(self, member: _Member, path: Path) -> None:
        if not self._make(path.parent, member):
            return
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            self._leave_out(member, "second of a name", "There is one of this name before it in the archive: left out.")
            return
        with os.fdopen(descriptor, "wb") as file:
            try:
                with member.open() as stream:
                    left = member.size
                    while left > 0 and (data := stream.read(min(_CHUNK, left))):
                        file.write(data)
                        left -= len(data)
                if left:
                    raise EOFError(f"{left} bytes of {printable(as_unicode(member.name))} are missing")
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
                if not member.alone:
                    raise tarfile.ReadError(str(error)) from None  # what comes after it cannot be found either
                self._leave_out(member, "unreadable", "Damaged in the archive: left out.")
                path.unlink()
                return
        self.pictures += 1
        self.progress(self.pictures)

    def _make(self, folder: Path, member: _Member) -> bool:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            self._leave_out(member, "second of a name", "A file of the archive has the name of a folder: left out.")
            return False
        return True

    def _leave_out(self, member: _Member, kind: str, message: str) -> None:
        if member.is_folder:  # what is in it is told
            return
        self.counts[kind] += 1
        if self.counts[kind] <= _NOTES:
            self.notes.append(Note(as_unicode(member.name), kind, message, True))


def parts_of(name: str) -> tuple[str, ...] | None:
    r"""The parts of a member's name, each a plain name; None where it leads elsewhere, or cannot be a path.

    A backslash is between parts as a slash is: ZIP files that Windows makes have it.
    """
    name = name.replace("\\", "/")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if not parts or name.startswith("/") or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":"):
        return None
    if len(parts) > _MAX_DEPTH or "\0" in name:
        return None
    try:
        lengths = [len(os.fsencode(part)) for part in parts]
    except UnicodeEncodeError:
        return None
    return parts if max(lengths) <= _MAX_PART and sum(lengths) <= _MAX_NAME else None
