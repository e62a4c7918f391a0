"""Which folders of a set are its classes, and which are for training and testing: decided from names and counts."""

from __future__ import annotations

import filecmp
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.data.names import holds_masks
from search.data.splits import (
    Role,
    SplitName,
    by_role,
    is_neutral,
    is_part,
    role_of,
    split_name,
    splits_among,
    without_split,
)
from search.data.tree import DOUBT, Folder, Note
from search.errors import UsageError
from search.text import as_unicode, printable

LAYOUT = "expected FOLDER/<class>/* or FOLDER/training/<class>/* with FOLDER/testing/<class>/*"
MIN_SAME = 0.9  # share of the files of a folder that lie beside it too, from which on it is the set a second time
COMPARED = 5  # of these files, byte by byte
_USUAL = frozenset(
    {"training", "train", "testing", "test", "validation", "valid", "val"}
)  # no note says how these are read


@dataclass(frozen=True)
class Source:
    """A folder whose images are of one class."""

    folder: Folder
    class_name: str  # as the folder spells it
    role: Role


@dataclass(frozen=True)
class Part:
    """A folder whose folders are classes."""

    folder: Folder
    role: Role
    classes: tuple[Folder, ...]


@dataclass(frozen=True)
class Arrangement:
    """How a folder is read."""

    sources: tuple[Source, ...]  # training, validation, testing
    parts: tuple[Part, ...]  # where the classes lie; none where the splits lie in the classes
    outside: tuple[Folder, ...]  # folders whose own files are of no class
    notes: tuple[Note, ...]


class NoClassesError(UsageError):
    """Pictures are there, but nothing says which class they are of."""


class SeveralSetsError(UsageError):
    """What would be read as classes looks like sets of images."""

    def __init__(self, where: str, around: Folder, sets: Sequence[Folder], example: Folder) -> None:
        classes = _named(_training_folders(example))
        super().__init__(
            f"{where}: looks like {len(sets)} sets of images, not one: {_named(sets)}. In "
            f"'{printable(example.shown)}' training and testing hold the same folders, {classes}, as those of a set do"
        )
        self.around, self.sets = around, tuple(sets)


def arrange(root: Folder, where: str) -> Arrangement:
    """Decide how a folder is read; `where`: the folder in messages.

    It looks through a folder that lies alone, leaves out a set that lies there a second time, and separates splits from
    classes: a folder is a split by its name (see `splits_among`) where it holds folders, or where each class holds such
    folders. A class may be called 'train' (there are data sets of vehicles) where it holds pictures.

    Raises:
        UsageError: it can be read in two ways. NoClassesError: there are no folders for classes. SeveralSetsError: it
            holds sets instead of classes.
    """
    outside, notes = [root], list[Note]()
    while True:
        here = outside[-1]
        folders = _without_masks(_once(here, where, notes), notes)
        splits = _splits(folders)
        if any(_holds_folders(folder) for folder in splits):
            found = _of_splits(here, folders, splits, where)
        elif classes := _splits_in_names(folders):
            found = Arrangement(classes, (), (), (_how(here, classes),))
        elif splits and _are_parts(folders, splits, where):
            raise NoClassesError(_no_folders(splits, where) + _of_a_class(splits))
        elif (lone := _lone(folders)) is not None:
            outside.append(lone)
            continue
        else:
            found = _of_classes(here, folders, splits, where)
            if here is not root:
                notes.append(_how_classes(here))
        return Arrangement(found.sources, found.parts, (*outside, *found.outside), (*notes, *found.notes))


# ---- splits


def _splits(folders: Sequence[Folder]) -> dict[Folder, SplitName]:
    """The folders that are splits by their names, or by their names and because they hold folders of the same names."""
    named = splits_among(_names(folders))
    splits = {folder: split for folder in folders if (split := split_name(folder.name))}
    inner = {folder: set(_names(folder.inner)) for folder in splits}
    return {
        folder: split
        for folder, split in splits.items()
        if folder.name in named
        or any(inner[folder] & inner[other] for other in splits if splits[other].role is not split.role)
    }


def _of_splits(here: Folder, folders: Sequence[Folder], splits: dict[Folder, SplitName], where: str) -> Arrangement:
    """Of splits that hold class folders, such as 'train' and 'test'."""
    others = [folder for folder in folders if folder not in splits]
    names = by_role({folder.name: split for folder, split in splits.items()})
    roles = {role: [folder for folder in splits if folder.name in names[role]] for role in names}
    _check_splits(roles, [folder for folder in others if folder.pictures], where)
    notes = [_left_out(folder, "Lies beside the training folder: all in it is left out.") for folder in others]
    parts: list[Part] = []
    outside: list[Folder] = []
    classes: set[str] = set()
    for role, (folder,) in roles.items():
        passed, folders = _descend(folder, classes, where, notes)
        base, held = passed[-1], [inner for inner in folders if inner.pictures]
        if not _holds_folders(base):
            if role is Role.TRAINING:
                raise NoClassesError(_no_folders([folder], where))
            if base.pictures:
                message = f"Holds {base.pictures} pictures, but no class folders: left out, since they have no labels."
                notes.append(_left_out(folder, message))
                continue
        if len(held) > 1 and len(splits_among(_names(held))) == len(held):
            raise UsageError(
                f"{where}: '{printable(base.shown)}' holds {_named(held)}, which are parts of a set by their "
                "names, not classes. Name the folder that holds the class folders, or bring them to "
                "FOLDER/training/<class>/*."
            )
        classes.update(inner.name.casefold() for inner in folders)
        outside += passed
        parts.append(Part(base, role, tuple(folders)))
    sources = tuple(Source(folder, folder.name, part.role) for part in parts for folder in part.classes)
    usual = here.is_root and all(
        part.folder in here.folders and part.folder.name.casefold() in _USUAL for part in parts
    )
    return Arrangement(sources, tuple(parts), tuple(outside), (*notes, *([] if usual else [_how_parts(parts)])))


def _check_splits(roles: dict[Role, list[Folder]], others: Sequence[Folder], where: str) -> None:
    for role, group in roles.items():
        if len(group) > 1:
            raise UsageError(
                f"{where}: {len(group)} folders could hold the {role} images: {_named(group)}. "
                "One is needed: move their images together, or rename the others."
            )
    splits = [folder for group in roles.values() for folder in group]
    if Role.TRAINING not in roles:
        raise UsageError(_without_training(splits, others, where))
    if others and len(roles) == 1:
        raise UsageError(
            f"{where}: can be read in two ways: {_named(splits)} holds folders as a training folder does, "
            f"and {_named(others)} beside it could be classes. Rename {_named(splits)} if it is a class; "
            "otherwise move the others away."
        )


def _without_training(splits: Iterable[Folder], others: Sequence[Folder], where: str) -> str:
    beside = f" (beside it: {_named(others)})" if others else ""
    return (
        f"{where}: has {_named(splits)} but no training folder{beside}. Put the class folders to learn from into a "
        f"folder 'training', or rename {_named(splits)} if it is a class."
    )


def _no_folders(splits: Collection[Folder], where: str) -> str:
    return f"{where}: {_named(splits)} {'holds' if len(splits) == 1 else 'hold'} no class folders; {LAYOUT}."


def _of_a_class(splits: dict[Folder, SplitName]) -> str:
    """What to do about folders such as 'train_ok' and 'test_ok', where not all folders are of this form; else ''."""
    named = [folder for folder, split in splits.items() if split.rest]
    if not named:
        return ""
    name = printable(without_split(named[0].name))
    return (
        f" By their names {_named(named)} are parts of a class, '{name}': where folders are named so, each of two or "
        "more classes needs one for training and one for testing. If they are classes, rename them without the words "
        "for parts."
    )


def _are_parts(folders: Sequence[Folder], splits: dict[Folder, SplitName], where: str) -> bool:
    """Whether folders without folders, but with the names of splits, are splits; else they are classes.

    Raises UsageError where none of them can be for training.
    """
    others = [folder for folder in folders if folder not in splits]
    roles = {split.role for split in splits.values()}
    if roles == {Role.TRAINING} and others:
        return False
    if Role.TRAINING not in roles:
        raise UsageError(_without_training(splits, others, where))
    return True


def _splits_in_names(folders: Sequence[Folder]) -> tuple[Source, ...]:
    """The classes where the name of each folder has class and split, such as 'cats_train'; () where it is not so."""
    held = [folder for folder in folders if folder.pictures]
    splits = splits_among(_names(held))
    if len(splits) < len(held) or any(folder.inner or not splits[folder.name].rest for folder in held):
        return ()
    roles: dict[str, set[Role]] = {}
    for folder in held:
        roles.setdefault(without_split(folder.name), set()).add(splits[folder.name].role)
    if len(roles) < 2 or not all({Role.TRAINING} < of_class for of_class in roles.values()):
        return ()
    sources = [Source(folder, without_split(folder.name), splits[folder.name].role) for folder in held]
    return tuple(sorted(sources, key=lambda source: list(Role).index(source.role)))


# ---- classes


def _of_classes(here: Folder, folders: Sequence[Folder], splits: Collection[Folder], where: str) -> Arrangement:
    """Of class folders, which may hold the splits."""
    _check_one_set(here, folders, where)
    inside = {folder: roles for folder in folders if (roles := _splits_inside(folder))}
    for folder in folders:
        _check_splits_inside(folder, inside, where)
    if any({Role.TRAINING} < set(roles) for roles in inside.values()) or (
        len(inside) > 1 and any(set(roles) != {Role.TRAINING} for roles in inside.values())
    ):
        sources = [
            Source(inner, folder.name, role)
            for role in Role
            for folder in folders
            for inner in (
                inside[folder].get(role, []) if folder in inside else [folder] if role is Role.TRAINING else []
            )
        ]
        return Arrangement(tuple(sources), (), tuple(inside), (*_doubt(folders), _how(here, sources)))
    notes = _doubt(folders) + [
        Note(folder.shown, "class name", "Holds no folders, so it is read as a class of this name.", False)
        for folder in splits
    ]
    held = [folder for folder in folders if folder.pictures]
    names = [frozenset(_names(folder.inner)) for folder in held]
    if len(held) > 1 and len(names[0]) > 1 and len(set(names)) == 1 and not any(folder.own_pictures for folder in held):
        if all(is_part(folder.name) for folder in held):
            raise UsageError(
                f"{where}: {_named(held)} are parts of a set by their names, and each holds {_named(held[0].inner)}. "
                "Name one of them, or bring these together, a folder for each class."
            )
        message = (
            f"Each class holds folders of the same names, {_named(held[0].inner)}. If those are the classes, bring "
            "them together, a folder for each class."
        )
        notes.append(Note(here.shown or ".", "layout", message, False))
    deep = [folder for folder in held if len(folder.inner) > 1 and not folder.own_pictures]
    if len(held) > len(deep) == 1 and not any(folder.inner for folder in held if folder not in deep):
        message = (
            f"Holds {_named(deep[0].inner)}, and is read as one class, as the only one with folders. If those are the "
            "classes, name this folder instead of the one around it."
        )
        notes.append(Note(deep[0].shown, "layout", message, False))
    classes = tuple(Source(folder, folder.name, Role.TRAINING) for folder in folders)
    return Arrangement(classes, (Part(here, Role.TRAINING, tuple(folders)),), (), tuple(notes))


def _check_one_set(here: Folder, folders: Sequence[Folder], where: str) -> None:
    """Raises SeveralSetsError where every folder can be a set, and one certainly is."""
    held = [folder for folder in folders if folder.pictures]
    if len(held) < 2 or not all(len(_training_folders(folder)) > 1 for folder in held):
        return
    if (sure := next(filter(_is_set, held), None)) is not None:
        raise SeveralSetsError(where, here, held, sure)


def _is_set(folder: Folder) -> bool:
    """Whether it holds the same folders in training and testing: those of patients, which differ, are no classes."""
    classes = set(_names(_training_folders(folder)))
    others = [inner for role, of in _splits_inside(folder).items() if role is not Role.TRAINING for inner in of]
    return any(len(classes & set(_names(other.inner))) > 1 for other in others)


def _doubt(folders: Sequence[Folder]) -> list[Note]:
    """A note on a set that lies within what is read as a class; none where there is no such set."""
    found = next((inner for folder in folders for inner in folder.below() if _is_set(inner)), None)
    if found is None:
        return []
    message = (
        f"'{printable(found.shown)}' in it looks like a set of its own: training and testing "
        f"hold the same folders there, {_named(_training_folders(found))}. To read that set, name its folder."
    )
    return [Note(found.shown, DOUBT, message, False)]


def _training_folders(folder: Folder) -> list[Folder]:
    """The folders that would be the classes if this one were a set; [] where pictures lie beside them."""
    training = _splits_inside(folder).get(Role.TRAINING, [folder])
    return [] if any(part.own_pictures for part in training) else [inner for part in training for inner in part.inner]


def _check_splits_inside(folder: Folder, inside: Collection[Folder], where: str) -> None:
    """Raises UsageError where a class holds pictures for training and for testing, and others beside them."""
    splits = {name: split for name, split in splits_among(_names(folder.inner)).items() if not split.rest}
    if folder in inside or not {Role.TRAINING} < {split.role for split in splits.values()}:
        return
    parts = [inner for inner in folder.inner if inner.name in splits]
    others = [inner for inner in folder.inner if inner.name not in splits]
    beside = _named(others) if others else f"{folder.own_pictures} pictures"
    raise UsageError(
        f"{where}: '{printable(folder.shown)}' holds {_named(parts)}, which are parts of a set by their names, and "
        f"beside them {beside}, of which nothing says which part they are of. Move these into one of the parts or away."
    )


def _splits_inside(folder: Folder) -> dict[Role, list[Folder]]:
    """The splits that a class folder holds, by role; {} where it holds anything else."""
    splits = splits_among(_names(folder.inner))
    plain = {name: split for name, split in splits.items() if not split.rest}
    if folder.own_pictures or len(plain) < len(folder.inner):
        return {}
    roles = by_role(plain)
    return {role: [inner for inner in folder.inner if inner.name in roles[role]] for role in roles}


# ---- folders to look through or to leave out


def _lone(folders: Sequence[Folder], classes: Collection[str] = ()) -> Folder | None:
    """The only folder with pictures, where its folders are the ones to look at; `classes`: known ones, casefolded."""
    held = [folder for folder in folders if folder.pictures]
    if len(held) != 1 or held[0].name.casefold() in classes:
        return None
    if any(folder.is_empty for folder in folders):  # which may be a class that was not filled yet
        return None
    if not held[0].inner:  # 'val/images/*', 'test/test/*'
        return held[0] if classes and (is_neutral(held[0].name) or split_name(held[0].name)) else None
    return held[0] if 2 * held[0].own_pictures < held[0].pictures else None


def _descend(
    folder: Folder, classes: Collection[str], where: str, notes: list[Note]
) -> tuple[list[Folder], list[Folder]]:
    """A split's folder with those below it down to the one that holds the class folders, and the class folders."""
    passed = [folder]
    while True:
        folders = _once(passed[-1], where, notes)
        lone = _lone(folders, classes)
        if lone is None:
            return passed, folders
        passed.append(lone)


def _once(here: Folder, where: str, notes: list[Note]) -> list[Folder]:
    """The folders of a folder without those that hold the set a second time."""
    kept: list[Folder] = []
    for folder in here.folders:
        others = {other.name: other for other in here.folders if other is not folder}
        names = set(_names(folder.inner))
        if names & set(others):
            if len(names) > 1 and names <= set(others) and _is_same(folder.inner, others):
                notes.append(_left_out(folder, "Holds the folders beside it a second time: left out."))
                continue
            if is_neutral(folder.name) or folder.name == here.name:
                raise UsageError(
                    f"{where}: can be read in two ways: '{printable(folder.shown)}' holds {_named(folder.inner)}, "
                    "and folders of these names lie beside it, with other pictures. Move those of one class together."
                )
        role = role_of(folder.name)
        same = (other for other in kept if set(_names(other.inner)) == names and role_of(other.name) is role)
        twin = next(same, None) if len(names) > 1 else None
        if twin and _is_same(folder.inner, {inner.name: inner for inner in twin.inner}):
            notes.append(_left_out(folder, f"Holds the pictures of '{printable(twin.shown)}' a second time: left out."))
            continue
        kept.append(folder)
    return kept


def _without_masks(folders: Sequence[Folder], notes: list[Note]) -> list[Folder]:
    """The folders without one such as 'labels' that is built as 'images' beside it is."""
    pictures = [folder for folder in folders if is_neutral(folder.name) and folder.pictures]
    kept: list[Folder] = []
    for folder in folders:
        alike = (other for other in pictures if folder.inner and set(_names(folder.inner)) <= set(_names(other.inner)))
        if holds_masks(folder.name) and (beside := next(alike, None)):
            message = f"By its name it holds masks or labels of the pictures in '{printable(beside.shown)}': left out."
            notes.append(_left_out(folder, message))
        else:
            kept.append(folder)
    return kept


def _is_same(folders: Iterable[Folder], others: dict[str, Folder]) -> bool:
    """Whether nearly all files of these folders lie in the others of their names too, with the same content."""
    files = {name: path for folder in folders for name, path in _files(folder)}
    beside = {name: path for folder in folders for name, path in _files(others[folder.name])}
    common = [name for name in files if name in beside and _size(files[name]) == _size(beside[name])]
    if not files or len(common) < MIN_SAME * len(files):
        return False
    return all(filecmp.cmp(files[name], beside[name], shallow=False) for name in common[:COMPARED])


def _files(folder: Folder) -> Iterator[tuple[str, Path]]:
    for inner in folder.below():
        yield from ((f"{folder.name}/{as_unicode(path.relative_to(folder.path))}", path) for path in inner.files)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


# ---- in words


def _how(here: Folder, sources: Sequence[Source]) -> Note:
    names = {role: [source.folder.name for source in sources if source.role is role] for role in Role}
    listed = ", ".join(
        f"{_listed(list(dict.fromkeys(names[role])), 2)} for {_purpose(role)}" for role in Role if names[role]
    )
    return Note(here.shown or ".", "layout", f"The parts of the set lie in its classes: {listed}.", False)


def _how_parts(parts: Sequence[Part]) -> Note:
    if len(parts) == 1:
        return _how_classes(parts[0].folder)
    listed = ", ".join(f"'{printable(part.folder.shown)}' for {_purpose(part.role)}" for part in parts)
    return Note(".", "layout", f"Read as parts of one set: {listed}.", False)


def _how_classes(folder: Folder) -> Note:
    return Note(".", "layout", f"Its classes are the folders in '{printable(folder.shown)}'.", False)


def _purpose(role: Role) -> str:
    return "training too" if role is Role.VALIDATION else str(role)


def _left_out(folder: Folder, message: str) -> Note:
    return Note(folder.shown, "outside any class", message, True)


def _holds_folders(folder: Folder) -> bool:
    return bool(folder.inner) or bool(folder.folders and not folder.own_pictures)


def _names(folders: Iterable[Folder]) -> list[str]:
    return [folder.name for folder in folders]


def _named(folders: Iterable[Folder]) -> str:
    """`'a', 'b' and 3 more`: folder names in a message."""
    return _listed(_names(folders), 5)


def _listed(names: Sequence[str], count: int) -> str:
    listed = ", ".join(f"'{printable(name)}'" for name in names[:count])
    return listed if len(names) <= count else f"{listed} and {len(names) - count} more"
