"""A set of images whose classes are in a table or in the names of pictures, as a listing."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePath

from search.data.label_table import by_table
from search.data.labels import by_pattern, candidates
from search.data.listing import ClassFolder, ImageFile, Listing, order, similar_names
from search.data.origin import Origin
from search.data.splits import Role
from search.data.tree import Folder
from search.errors import UsageError
from search.text import as_unicode


def labelled(trees: Sequence[Folder], origin: Origin) -> Listing:
    """List a set by the table or pattern of `origin`.

    Pictures in folders that are splits by their names are for what the folder says, unless the table says otherwise.

    Raises UsageError where the table or pattern does not fit.
    """
    if origin.labels is not None and origin.pattern is not None:
        raise UsageError("labels and label_pattern both say which class a picture has; leave one of them out")
    files = [file for file in candidates(trees) if not _is_table(file.path, origin.labels)]
    if origin.labels is not None:
        labels = by_table(origin.labels, origin.columns, files)
    else:
        labels = by_pattern(origin.pattern or "", files)
    bases: dict[int, list[PurePath]] = {}
    for place in labels.of:
        file = files[place]
        bases.setdefault(id(file.base), []).append(file.path.relative_to(file.base.path).parent)
    common = {base: PurePath(os.path.commonpath(parents)) for base, parents in bases.items()}
    found: list[ImageFile] = []
    roles: dict[tuple[str, Role], None] = {}
    for place, file in enumerate(files):
        label = labels.of.get(place)
        if label is None:
            found += [] if file.picture else [ImageFile(file.path, file.shown, None, False)]
            continue
        role = label.role or file.role or Role.TRAINING
        class_name = unicodedata.normalize("NFC", label.name)
        name = as_unicode(file.path.relative_to(file.base.path).relative_to(common[id(file.base)]))
        found.append(ImageFile(file.path, file.shown, class_name, role is Role.TESTING, name, label.group))
        roles[class_name, role] = None
    folders = tuple(ClassFolder(name, name, role) for name, role in sorted(roles, key=lambda each: each[0]))
    notes = [note for tree in trees for inner in tree.below() for note in inner.notes]
    has_testing = any(folder.testing for folder in folders)
    reading = f"Read as: {labels.reading}."
    all_notes = (*notes, *labels.notes, *similar_names(folders))
    return Listing(tuple(sorted(found, key=order)), folders, all_notes, has_testing, reading, labels.grouped_by)


def _is_table(path: Path, table: Path | None) -> bool:
    try:
        return table is not None and path.name == table.name and path.samefile(table)
    except OSError:
        return False
