"""Classes that are merged or left out, as the user says."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import replace

from search.data.listing import Listing, order
from search.data.origin import Origin
from search.data.tree import Note
from search.errors import UsageError
from search.text import printable


def choose(listing: Listing, origin: Origin) -> Listing:
    """The listing with the classes of `origin.merge` as one, then with those of `origin.classes` alone.

    Training and testing images alike. Raises UsageError for a class that is not there, or is merged twice.
    """
    if not origin.merge and not origin.classes:
        return listing
    names = {folder.class_name for folder in listing.folders}
    merged = _merged(origin.merge, names)
    kept = {merged.get(name, name) for name in names}
    said = [
        f"{_listed([old for old in merged if merged[old] == new])} are read as {new!r}" for new in _new_names(merged)
    ]
    notes = list(listing.notes)
    if origin.classes:
        asked = list(dict.fromkeys(_plain(name) for name in origin.classes))
        _check_known(asked, kept, "classes")
        left_out = sorted(kept.difference(asked))
        for name in left_out:
            count = sum(
                file.class_name is not None and merged.get(file.class_name, file.class_name) == name
                for file in listing.files
            )
            message = f"Class '{printable(name)}' is left out, as `classes` says, with {count} files."
            notes.append(Note(name, "class left out", message, True))
        kept = set(asked)
        said.append(f"only the classes {_listed(sorted(asked))} of {len(asked) + len(left_out)} are read")
    files = [
        file if file.class_name is None else replace(file, class_name=merged.get(file.class_name, file.class_name))
        for file in listing.files
    ]
    files = [file for file in files if file.class_name is None or file.class_name in kept]
    folders = [
        replace(folder, class_name=merged.get(folder.class_name, folder.class_name)) for folder in listing.folders
    ]
    return replace(
        listing,
        files=tuple(sorted(files, key=order)),
        folders=tuple(folder for folder in folders if folder.class_name in kept),
        notes=tuple(notes),
        reading=f"{listing.reading} As you say, {'; '.join(said)}.",
    )


def _merged(given: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """Class -> the one that it is merged into. Raises UsageError."""
    merged: dict[str, str] = {}
    for one in given:
        new, equals, rest = one.partition("=")
        new, parts = _plain(new), [_plain(part) for part in rest.split("+")]
        if not equals or not new or not all(parts):
            raise UsageError(f"merge: must be such as pet=cat+dog, but got {printable(one)!r}")
        _check_known(parts, names, "merge")
        if new in names and new not in parts:
            raise UsageError(
                f"merge: {printable(one)!r}: there is a class {printable(new)!r} already; add it to those that are "
                "merged, or take another name"
            )
        if twice := sorted(part for part in parts if part in merged or parts.count(part) > 1):
            raise UsageError(f"merge: class {printable(twice[0])!r} is merged twice; name it once")
        merged |= dict.fromkeys(parts, new)
    return merged


def _check_known(asked: Collection[str], names: Collection[str], key: str) -> None:
    unknown = [name for name in asked if name not in names]
    if not unknown:
        return
    near = difflib.get_close_matches(unknown[0], sorted(names), n=3, cutoff=0.6)
    near += [name for name in sorted(names) if name.casefold() == unknown[0].casefold() and name not in near]
    meant = f"did you mean {' or '.join(repr(printable(name)) for name in near)}?" if near else ""
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    raise UsageError(
        f"{key}: there is no class {printable(unknown[0])!r}{more}; "
        + (meant or f"the classes are {_listed(sorted(names))}")
    )


def _new_names(merged: dict[str, str]) -> list[str]:
    return list(dict.fromkeys(merged.values()))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(printable(name)) for name in names[:20])
    return f"{shown}, and {len(names) - 20} more" if len(names) > 20 else shown
