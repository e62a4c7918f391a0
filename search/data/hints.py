"""What to do where pictures lie in no class folders: labels in a table, in file names, in paths with backslashes.

A hint names the command that reads the set, or lines of Python that make class folders. These are put together from
names of a set that may be a stranger's, so every name in them is quoted by `repr`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from search.data.label_table import by_table
from search.data.labels import MAX_CLASSES, Candidate, by_pattern, candidates
from search.data.places import Place
from search.data.splits import Role, role_of
from search.data.tree import Folder
from search.errors import UsageError
from search.text import as_unicode, command_line, printable

_TABLES = frozenset({".csv", ".tsv", ".txt"})
_OTHER_TABLES = frozenset({".json", ".jsonl", ".xlsx", ".xls", ".parquet", ".mat"})
_ROWS = 50  # of a table that are compared with the names of pictures
_BYTES = 100_000  # of a table that are read
_FOLDERS = 10  # with the most pictures, whose names are compared
_TRIED = 20  # tables that are read
NUMBERED = r"^(.*?[^0-9( ._-].*?)[( ._-]*[0-9]+\)*\.[^.]+$"  # a word, then a number: 'cat.12.jpg', 'oak (3).png'


def hint(tree: Folder, given: Path) -> str:
    """Sentences for the user, beginning with a space, perhaps with lines of Python; '' where nothing is seen.

    `given`: the folder as the user named it; for an archive, of which `tree` is a copy, the archive.
    """
    return (
        _backslashes(tree)
        or _detection_labels(tree)
        or _tables(tree, given)
        or _class_in_names(tree, given)
        or _inner_classes(tree)
        or _one_class(tree)
    )


def hint_of_sets(around: Folder, first: Folder, place: Place) -> str:
    """The commands where folders in `around` look like sets: to search the `first` alone, or to read all as classes."""
    if place.is_archive:
        one = "Unpack it, and name one of these folders"
    else:
        one = f"Search one of them: `{command_line('run', first.path)}`"
    if place.prefix:  # the pattern would be that of all places
        return f". {one}."
    above = f"{re.escape(around.shown)}/" if around.shown else ""
    command = command_line("run", place.given, "--label-pattern", f"^{above}([^/]+)/")
    return f". {one}. If these folders are the classes: `{command}`."


def _backslashes(tree: Folder) -> str:
    files = [path for folder in tree.below() for path in folder.files if "\\" in path.name]
    if not files:
        return ""
    first = printable(as_unicode(files[0].name))
    return (
        f" {_count(len(files), 'file has', 'files have')} a backslash in the name ('{first}'), as of a ZIP that was "
        "made on Windows. These lines make folders of them:"
        + _lines(
            "from pathlib import Path",
            f"for path in list(Path({_quoted(tree.path)}).rglob('*')):",
            "    if '\\\\' in path.name and '..' not in path.name:",
            "        target = path.parent / path.name.replace('\\\\', '/').lstrip('/')",
            "        target.parent.mkdir(parents=True, exist_ok=True)",
            "        path.rename(target)",
        )
    )


def _detection_labels(tree: Folder) -> str:
    """Where most pictures have a text file of their own, as for YOLO."""
    folders = list(tree.below())
    stems = {path.stem for folder in folders for path in folder.pictures_here}
    texts = [path for folder in folders for path in folder.files if path.suffix == ".txt" and path.stem in stems]
    if not stems or 2 * len({path.stem for path in texts}) < len(stems):
        return ""
    return (
        f" {_count(len(texts), 'text file is', 'text files are')} named like pictures ('{_shown(tree, texts[0])}'), as "
        "labels for object detection (YOLO) are. Here each picture has one class: make a folder for each class."
    )


def _tables(tree: Folder, given: Path) -> str:
    # Where two parts have pictures of the same names, a table is of those for training.
    folders = sorted(tree.below(), key=lambda folder: role_of(folder.name) is Role.TRAINING)
    pictures = {path.name: path for folder in folders for path in folder.pictures_here}
    tables = [path for folder in folders for path in folder.files if path.suffix.lower() in _TABLES]
    files = candidates([tree]) if tables else []
    for path in tables[:_TRIED]:
        beside = {name: path.parent / name for name in pictures if (path.parent / name).is_file()}
        if beside and sum(other.name == path.name for other in tables) > 1:
            if lines := _lines_of_table(path, beside, tree.path):
                return (
                    f" '{_shown(tree, path)}' lies beside {_count(len(beside), 'picture', 'pictures')}, as in other "
                    f"folders: one table is read. These lines make a folder for each class, in 'sorted':{lines}"
                )
        elif (words := _labels_in(path, files)) is not None:
            command = command_line("run", given, "--labels", given / path.relative_to(tree.path))
            return (
                f" '{_shown(tree, path)}' lies beside {_count(len(pictures), 'picture', 'pictures')} and names "
                f"{words}: `{command}` reads it."
            )
    others = [path for folder in folders for path in folder.files if path.suffix.lower() in _OTHER_TABLES]
    if pictures and (seen := [*(path for path in tables if path.suffix.lower() != ".txt"), *others]):
        command = command_line("run", given, "--labels", "FILE.csv")
        return (
            f" '{_shown(tree, seen[0])}' lies beside {_count(len(pictures), 'picture', 'pictures')}: if it has the "
            f"labels, save it as CSV with the columns path and label; `{command}` reads it."
        )
    return ""


def _labels_in(path: Path, files: Sequence[Candidate]) -> str | None:
    """What a table says of at least half of the pictures, in words; None where it says nothing."""
    try:
        labels = by_table(path, None, files)
    except UsageError:
        return None
    known = len(labels.of)
    classes = len({label.name for label in labels.of.values()})
    if classes < 2 or 2 * known < sum(file.picture and file.role is not Role.TESTING for file in files):
        return None
    return f"{_count(classes, 'class', 'classes')} of {known:,} of them"


def _lines_of_table(path: Path, pictures: Mapping[str, Path], below: Path) -> str:
    """Lines that copy the pictures that a table names into folders; '' where it does not name them with labels.

    `below`: the folder in which each part of the set has a table of this name beside its pictures.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read(_BYTES)
    except (OSError, UnicodeDecodeError):
        return ""
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    try:
        header, *rows = islice(csv.reader(lines, delimiter=delimiter), _ROWS)
    except (csv.Error, ValueError):
        return ""
    rows = [row for row in rows if len(row) == len(header)]
    stems = {PurePosixPath(name).stem: name for name in pictures}
    for column, name in enumerate(header):
        values = [PurePosixPath(row[column].strip().replace("\\", "/")).name for row in rows]
        known = [value for value in values if value in pictures or value in stems]
        if not rows or 2 * len(known) < len(rows) or len(header) < 2:
            continue
        ending = "" if known[0] in pictures else PurePosixPath(stems[known[0]]).suffix
        label = _label(header, rows, column)
        quoted = "" if delimiter == "," else f", delimiter={delimiter!r}"
        return _lines(
            "import csv, re, shutil",
            "from pathlib import Path",
            f"for table in Path({_quoted(below)}).rglob({path.name!r}):",
            f"    for row in csv.DictReader(table.open(encoding='utf-8-sig'){quoted}):",
            f"        target = Path('sorted', table.parent.name, re.sub(r'[^\\w (),-]+', '_', {label}))",
            "        target.mkdir(parents=True, exist_ok=True)",
            f"        picture = Path(row[{name!r}].strip()).name" + (f" + {ending!r}" if ending else ""),
            "        shutil.copy2(table.parent / picture, target)",
        )
    return ""


def _label(header: Sequence[str], rows: Sequence[Sequence[str]], column: int) -> str:
    """The label of `row` as Python: the largest of columns of 0 and 1, else the column of labels."""
    others = [place for place in range(len(header)) if place != column]
    if len(others) > 1 and all(row[place].strip() in {"0", "1", "0.0", "1.0"} for row in rows for place in others):
        return f"max({[header[place] for place in others]!r}, key=lambda name: float(row[name])).strip()"
    named = [place for place in others if re.search(r"label|class|category|target", header[place], re.IGNORECASE)]
    return f"row[{header[(named or others)[0]]!r}].strip()"


def _class_in_names(tree: Folder, given: Path) -> str:
    """Where pictures of one folder are named by class and number, as 'cat.12.jpg' is."""
    largest = sorted(tree.below(), key=lambda folder: folder.own_pictures, reverse=True)
    return next((said for folder in largest[:_FOLDERS] if (said := _named_by_class(folder, tree, given))), "")


def _named_by_class(folder: Folder, tree: Folder, given: Path) -> str:
    pictures = folder.pictures_here
    counts = Counter(word for path in pictures if (word := _without_number(as_unicode(path.stem))))
    if not 2 <= len(counts) <= MAX_CLASSES or min(counts.values()) < 2 or sum(counts.values()) < len(pictures):
        return ""
    first, second = (printable(name) for name in list(counts)[:2])
    command = command_line("run", given, "--label-pattern", NUMBERED)
    try:
        labels = by_pattern(NUMBERED, candidates([tree]))
    except UsageError:
        return ""
    if {label.name for label in labels.of.values()} != {*counts}:
        return ""
    return (
        f" The names of {_count(len(pictures), 'picture', 'pictures')} begin with {len(counts)} words, such as "
        f"'{first}' and '{second}'. If these are the classes: `{command}` reads them so."
    )


def _inner_classes(tree: Folder) -> str:
    """Where the only class folder holds folders."""
    inner = tree.inner[0].inner if len(tree.inner) == 1 else []
    if len(inner) < 2 or any(role_of(folder.name) for folder in inner):
        return ""
    first, second = (printable(folder.name) for folder in inner[:2])
    shown = printable(as_unicode(tree.inner[0].path))
    return f" '{shown}' holds folders such as '{first}' and '{second}': if these are the classes, name that folder."


def _one_class(tree: Folder) -> str:
    if not tree.own_pictures or tree.inner:
        return ""
    holds = _count(tree.own_pictures, "picture lies", "pictures lie")
    return f" {holds} in this folder itself: if it is one of the classes, name the folder that holds all of them."


def _without_number(stem: str) -> str:
    """'cat' of 'cat.12', 'cat_3' and 'cat (7)'; '' where there is no number, or nothing else."""
    word = stem.rstrip(")").rstrip("0123456789")
    return "" if word == stem.rstrip(")") else word.rstrip("( ._-")


def _lines(*lines: str) -> str:
    return "".join(f"\n  {line}" for line in lines)


def _quoted(path: Path) -> str:
    return repr(as_unicode(path))


def _shown(tree: Folder, path: Path) -> str:
    return printable(as_unicode(path.relative_to(tree.path)))


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number:,} {singular if number == 1 else plural}"
