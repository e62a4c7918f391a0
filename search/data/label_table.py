"""Labels, groups and splits from a table that the user names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from search.data.formats import IMAGE_ENDINGS
from search.data.labels import Candidate, Label, Labels, check_count
from search.data.splits import Role, role_of
from search.data.table import Row, Table, plain_path, read_table
from search.data.tree import Note
from search.errors import UsageError
from search.text import as_unicode, printable

PATH, LABEL, GROUP, SPLIT = "path", "label", "group", "split"
_MEANINGS = (PATH, LABEL, GROUP, SPLIT)
_USUAL = {  # names of columns, as `_bare` makes them, the surest first
    PATH: "path filepath imagepath imgpath picturepath file filename imagefile imagefilename image imagename imageid "
    "imgname imgid img picture picturename pictureid photo photoid name id",
    LABEL: "label labels class classname classlabel labelname category categoryname target y species breed",
    GROUP: "group groupid patient patientid subject subjectid participant participantid",
    SPLIT: "split set subset partition datasplit",
}
_NAMES = {meaning: tuple(names.split()) for meaning, names in _USUAL.items()}
_LIKE_LABEL = re.compile(r"label|class|category|target", re.IGNORECASE)
_SEEN = 1000  # rows by which the column of paths is found


def by_table(path: Path, columns: str | None, files: Sequence[Candidate]) -> Labels:
    """Labels, groups and splits from a table; see `Origin.labels` and `Origin.columns`.

    A picture is named by its path, or by any end of it that only one picture has, with or without its ending.

    Raises:
        UsageError: the table cannot be read, its columns cannot be told, none of its rows names a picture, or rows
            contradict each other.
    """
    table = read_table(path, "labels", "the columns path and label")
    finder = _Finder(files)
    meant = _Meant.of(table, columns, path, finder)
    reader = _Reader(path, meant, finder, files)
    for row in table.rows:
        reader.take(row)
    return reader.labels()


class _Finder:
    """Finds the picture that a table means."""

    def __init__(self, files: Sequence[Candidate]) -> None:
        self._files = files
        self._by_name: dict[str, list[int]] = {}
        self._by_stem: dict[str, list[int]] = {}
        for place, file in enumerate(files):
            if file.picture:
                self._by_name.setdefault(file.parts[-1], []).append(place)
                self._by_stem.setdefault(PurePosixPath(file.parts[-1]).stem, []).append(place)

    def find(self, given: str) -> list[int]:
        """The pictures that a cell may mean."""
        parts = PurePosixPath(plain_path(given)).parts
        if not parts:
            return []
        found = self._alike(self._by_name.get(parts[-1], ()), parts, stem=False)
        if not found and PurePosixPath(parts[-1]).suffix.lower() not in IMAGE_ENDINGS:
            found = self._alike(self._by_stem.get(parts[-1], ()), parts, stem=True)
        return found

    def _alike(self, places: Sequence[int], parts: tuple[str, ...], *, stem: bool) -> list[int]:
        """Those of which one path is the end of the other; one that is equal, or the only one for training, alone."""
        found = []
        for place in places:
            own = self._files[place].parts
            if stem:
                own = (*own[:-1], PurePosixPath(own[-1]).stem)
            if own == parts:
                return [place]
            length = min(len(own), len(parts))
            if own[-length:] == parts[-length:]:
                found.append(place)
        training = [place for place in found if self._files[place].role is Role.TRAINING]
        return training if len(training) == 1 else found


@dataclass(frozen=True)
class _Meant:
    """Which column is which: places of columns."""

    names: tuple[str, ...]
    path: int
    label: int | None  # None: `classes` are columns of 0 and 1
    classes: tuple[int, ...]
    group: int | None
    split: int | None

    @classmethod
    def of(cls, table: Table, given: str | None, path: Path, finder: _Finder) -> _Meant:
        """Which columns are meant, as the user says (`given`), else by their names and cells. Raises UsageError."""
        names = table.columns
        if any(finder.find(name) for name in names if PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS):
            raise UsageError(
                f"labels: {path} begins with a picture, {printable(', '.join(names))}; its first line must name the "
                "columns, such as path,label"
            )
        found: dict[str, int | None] = {**_named_columns(given, names, path)}
        if PATH not in found:
            found[PATH] = _path_column(table, found, finder)
        for meaning in (GROUP, SPLIT, LABEL):
            if meaning not in found:
                found[meaning] = _usual_column(meaning, table, found)
        others = [place for place in range(len(names)) if place not in found.values()]
        classes: tuple[int, ...] = ()
        if found[LABEL] is None:
            liked = [place for place in others if _LIKE_LABEL.search(names[place])]
            if len(others) > 1 and _are_one_hot(table, others):
                classes = tuple(others)
            elif len(liked or others) == 1:
                found[LABEL] = (liked or others)[0]
        of_path = found[PATH]
        if of_path is None or (found[LABEL] is None and not classes):
            lacking = "path of a picture" if of_path is None else "label"
            raise UsageError(
                f"labels: {path} has the columns {printable(', '.join(names)) or 'none'}, and none is known as the "
                f"{lacking}; name them, as in: --label-columns path=file,label=species"
            )
        return cls(names, of_path, found[LABEL], classes, found[GROUP], found[SPLIT])

    @property
    def in_words(self) -> str:
        """`path = file, label = breed`."""
        one_hot = f"label = the one of {len(self.classes)} columns that has a 1"
        places = {GROUP: self.group, SPLIT: self.split}
        said = [
            f"path = {self.names[self.path]}",
            one_hot if self.label is None else f"label = {self.names[self.label]}",
            *(f"{meaning} = {self.names[place]}" for meaning, place in places.items() if place is not None),
        ]
        return printable(", ".join(said))


def _named_columns(given: str | None, names: Sequence[str], path: Path) -> dict[str, int]:
    """Meaning -> column, as the user says: 'path=file,label=breed'. Raises UsageError."""
    named: dict[str, int] = {}
    for one in given.split(",") if given else ():
        meaning, equals, name = (part.strip() for part in one.partition("="))
        if not equals or meaning not in _MEANINGS or meaning in named:
            raise UsageError(
                f"label_columns: must be such as path=file,label=breed, with {', '.join(_MEANINGS)} once at most, "
                f"but got {printable(given or '')!r}"
            )
        places = [place for place, column in enumerate(names) if column == name]
        places = places or [place for place, column in enumerate(names) if column.casefold() == name.casefold()]
        if not places:
            raise UsageError(
                f"label_columns: {path} has no column {printable(name)!r}, but {printable(', '.join(names)) or 'none'}"
            )
        named[meaning] = places[0]
    return named


def _usual_column(meaning: str, table: Table, taken: Mapping[str, int | None]) -> int | None:
    """The first free column with a usual name; for splits it must say one, as a column 'set' may mean anything."""
    bare = [_bare(name) for name in table.columns]
    places = [bare.index(name) for name in _NAMES[meaning] if name in bare]
    place = next((place for place in places if place not in taken.values()), None)
    if meaning == SPLIT and place is not None and not any(role_of(row.cells[place]) for row in table.rows):
        return None
    return place


def _path_column(table: Table, taken: Mapping[str, int | None], finder: _Finder) -> int | None:
    """The column whose cells name most pictures, of those with a usual name; else of all."""
    bare, names = [_bare(name) for name in table.columns], _NAMES[PATH]
    free = [place for place in range(len(bare)) if place not in taken.values()]
    usual = sorted((place for place in free if bare[place] in names), key=lambda place: names.index(bare[place]))

    def found(place: int) -> int:
        return sum(bool(finder.find(row.cells[place])) for row in table.rows[:_SEEN])

    for places in (usual, free):
        best = max(places, key=found, default=None)  # the first of equals
        if best is not None and found(best):
            return best
    return usual[0] if usual else None


def _are_one_hot(table: Table, places: Sequence[int]) -> bool:
    return bool(table.rows) and all(_number(row.cells[place]) in (0, 1) for row in table.rows for place in places)


def _number(cell: str) -> float | None:
    try:
        return float(cell or "0")
    except ValueError:
        return None


class _Reader:
    """Takes rows one after the other, and keeps what contradicts."""

    def __init__(self, path: Path, meant: _Meant, finder: _Finder, files: Sequence[Candidate]) -> None:
        self._path, self._meant, self._finder, self._files = path, meant, finder, files
        self._of: dict[int, tuple[Label, int]] = {}  # with the line
        self._empty: set[int] = set()
        self._missing: list[str] = []
        self._two: dict[int, str] = {}
        self._several: list[str] = []
        self._splits: dict[str, int] = {}  # unknown ones, with the first line

    def take(self, row: Row) -> None:
        given = row.cells[self._meant.path]
        found = self._finder.find(given)
        if len(found) > 1:
            shown = " and ".join(printable(self._files[place].shown) for place in found[:2])
            self._several.append(f"{printable(given)} (line {row.line}) may be {shown}")
        elif not found:
            self._missing.append(given)
        else:
            self._give(found[0], row)

    def _give(self, place: int, row: Row) -> None:
        cells, meant = row.cells, self._meant
        names = [meant.names[column] for column in meant.classes if _number(cells[column]) == 1]
        if meant.label is not None:
            names = [cells[meant.label]] if cells[meant.label] else []
        split = cells[meant.split] if meant.split is not None else ""
        if split and role_of(split) is None:
            self._splits.setdefault(split, row.line)
        if not names:
            self._empty.add(place)
            return
        group = (cells[meant.group] or None) if meant.group is not None else None
        label = Label(names[0], group, role_of(split) if split else None)
        before, first = self._of.setdefault(place, (label, row.line))
        if contradiction := _contradiction(names, before, label):
            lines = f"line {row.line}" if first == row.line else f"the lines {first} and {row.line}"
            self._two.setdefault(place, f"{printable(self._files[place].shown)} is {contradiction} in {lines}")

    def labels(self) -> Labels:
        """What was read. Raises UsageError for what contradicts, or where nothing fits."""
        self._check()
        notes = [Note(name, "missing file", _MISSING, True) for name in dict.fromkeys(self._missing)]
        empty = self._empty - set(self._of)
        for place, file in enumerate(self._files):
            if place in empty:
                notes.append(Note(file.shown, "empty label", "Its label in the table is empty: left out.", True))
            elif file.picture and place not in self._of:
                notes.append(Note(file.shown, "no label", "The table does not name it: left out.", True))
        name = printable(as_unicode(self._path.name))
        group = self._meant.group
        return Labels(
            {place: label for place, (label, _) in self._of.items()},
            tuple(notes),
            f"the class of each picture from {name} ({self._meant.in_words})",
            "" if group is None else f"the column {printable(self._meant.names[group])} of {name}",
        )

    def _check(self) -> None:
        where = f"labels: {self._path}"
        if self._splits:
            listed = ", ".join(f"{printable(split)!r} (line {line})" for split, line in list(self._splits.items())[:5])
            raise UsageError(
                f"{where}: the column {printable(self._meant.names[self._meant.split or 0])} must say training, "
                f"validation or testing, and says {listed}; if it means something else, name another: "
                "--label-columns split=COLUMN"
            )
        if self._several:
            raise UsageError(
                f"{where}: {_rows(len(self._several), 'names', 'name')} pictures of which there are several: "
                f"{self._several[0]}; write their paths from the folder of images on"
            )
        if self._two:
            count = len(self._two)
            raise UsageError(
                f"{where}: {count} {'picture has rows' if count == 1 else 'pictures have rows'} that contradict: "
                f"{next(iter(self._two.values()))}; leave one line of each"
            )
        if not self._of and not self._empty:
            pictures = [file.shown for file in self._files if file.picture]
            example = f", such as {printable(pictures[0])!r}" if pictures else ""
            first = f"{printable(self._missing[0])!r} is the first" if self._missing else "it has no rows"
            raise UsageError(
                f"{where} names none of the {len(pictures)} pictures{example} ({first}); its paths begin at the folder "
                "of images, and another column is named as in: --label-columns path=COLUMN"
            )
        if self._of:
            check_count({label.name for label, _ in self._of.values()}, f"{where} gives")


def _contradiction(names: Sequence[str], before: Label, label: Label) -> str:
    """What rows say of one picture that cannot be; '' where they agree. `names`: the classes of the second row."""
    if len(names) > 1 or before.name != label.name:
        first, second = names[:2] if len(names) > 1 else (before.name, label.name)
        return f"both {printable(first)!r} and {printable(second)!r}"
    if before.group != label.group:
        return f"in the groups {printable(str(before.group))!r} and {printable(str(label.group))!r}"
    return f"for {before.role or 'training'} and for {label.role or 'training'}" if before.role != label.role else ""


_MISSING = "In the table, but there is no such picture: left out."


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _rows(count: int, one: str, more: str) -> str:
    return f"{count} row {one}" if count == 1 else f"{count} rows {more}"
