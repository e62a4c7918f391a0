"""The check of the images before a search: what stays in one fold, what is in no fold, what the user should know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data import scenes, series
from search.data.duplicates import Pair, exact_copies, most_alike_in_group, near_copies
from search.data.findings import ClassRow, DuplicateKind, Findings, ImageView, PairView, Remark
from search.data.folds import choose_folds
from search.data.groups import Grouping, UserGroups, group_images, groups_by, groups_of_data, named_groups
from search.data.images import BRIGHTEST, PATIENTS, ImageSet
from search.data.listing import PLAIN, PLAIN_SPLITS
from search.data.names import Versions, find_versions, mask_rows
from search.data.tree import DOUBT
from search.errors import UsageError
from search.text import printable

UNEVEN = 3.0  # images of the largest class over those of the smallest, from which on the user is warned
MAX_DARK = 31  # of 255: where 12 bits are read as 16, no value is above it
MASK_SHARE = 0.8  # of the values of a mask that are its smallest or its largest
STRANGERS, STRANGER_SHARE = 20, 3.0  # from so many files that are no pictures on, and so many a picture, one is asked
ONE_COLOUR, TWO_COLOURS = 0.05, 0.95  # shares of grey images by which colour alone separates two classes


@dataclass(frozen=True)
class Checked:
    """What the images allow, and why."""

    pairs: tuple[Pair, ...]  # copies that are kept in one fold
    grouping: Grouping
    named: UserGroups | None  # the groups of --groups
    folds: int | None  # None: the images cannot be searched
    problem: str | None  # why they cannot
    sentences: tuple[str, ...]  # for the user, the most important first
    scenes: str | None = None  # see `Findings`


def check_images(images: ImageSet, groups: str | None, folder: Path, folds: int | None) -> Checked:
    """Look for copies and groups, and choose the number of folds that they allow.

    `groups`: as the user wrote it; the name of a table is relative to `folder`. `folds`: the number that the user
    wants, or None. Raises UsageError for groups that cannot be read. Why there can be no folds is in `problem`.
    """
    told = images.groups and not _one_patient(images)
    of_data = groups_of_data(images.groups, images.grouped_by, images.paths) if told else None
    named = named_groups(groups, folder, images.paths) if groups is not None else of_data
    near = near_copies(images.pixels, images.digests)
    same = np.unique(np.array(images.digests), return_inverse=True)[1]
    versions = find_versions(images.paths, images.labels.tolist())
    grouping = group_images(
        images.labels, images.testing, same, near.parts, named.of if named else (), versions.sources
    )
    pairs = (*exact_copies(images.digests), *(pair for pair in near.pairs if not grouping.scene[pair.first]))
    chosen, fewer, problem = None, None, None
    try:
        chosen, fewer = choose_folds(images.labels, grouping.excluded, folds, images.classes, grouping.units)
    except UsageError as error:
        problem = str(error)
    suggested, its_scenes = _suggestions(images, versions) if named is None else ([], None)
    sentences = (
        *_of_reading(images, named, of_data),
        *_of_copies(images, pairs, grouping, same),
        *_of_groups(images, named, grouping, versions),
        *suggested,
        *_of_masks(images),
        *_of_classes(images),
        *_of_depth(images),
    )
    return Checked(pairs, grouping, named, chosen, problem, (*sentences, *([fewer] if fewer else [])), its_scenes)


def findings(images: ImageSet, checked: Checked, name: str) -> Findings:
    """The result of the check, as a view shows it; `name`: of the folder of images."""
    height, width, channels = images.pixels.shape[1:]
    pairs = [_pair(images, pair) for pair in checked.pairs]
    order = list(DuplicateKind)
    remarks = sorted(
        (note for note in images.notes if note.kind != DOUBT),
        key=lambda note: (not note.left_out, note.kind, note.path),
    )
    return Findings(
        name=name,
        images=len(images.labels),
        testing=int(images.testing.sum()),
        shape=(height, width, channels),
        classes=tuple(_class_row(images, checked.grouping, label) for label in range(len(images.classes))),
        folds=checked.folds,
        problem=checked.problem,
        sentences=checked.sentences,
        pairs=tuple(sorted(pairs, key=lambda pair: order.index(pair.kind))),
        remarks=tuple(Remark(note.path, note.kind, note.message, note.left_out) for note in remarks),
        scenes=checked.scenes,
        reading=images.reading,
        doubt=_doubt(images),
    )


def notes_for_report(images: ImageSet, checked: Checked) -> tuple[str, ...]:
    """What the report of a study repeats: how many files were left out, by kind, then the sentences of the check."""
    left_out = Counter(note.kind for note in images.notes if note.left_out)
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(left_out.items()))
    noted = [] if images.reading in (PLAIN, PLAIN_SPLITS, *checked.sentences) else [images.reading]
    return (*noted, *([f"Left out of the images: {kinds}."] if kinds else []), *checked.sentences)


def _pair(images: ImageSet, pair: Pair) -> PairView:
    def view(row: int) -> ImageView:
        class_name = images.classes[images.labels[row]]
        return ImageView(images.paths[row], class_name, bool(images.testing[row]), images.pixels[row])

    kind = _kind(images, pair)
    return PairView(kind, view(pair.first), view(pair.second), pair.exact, pair.mirrored, pair.likeness)


def _kind(images: ImageSet, pair: Pair) -> DuplicateKind:
    if images.labels[pair.first] != images.labels[pair.second]:
        return DuplicateKind.MIRRORED if pair.mirrored else DuplicateKind.CONTRADICTION
    return DuplicateKind.LEAK if images.testing[pair.first] != images.testing[pair.second] else DuplicateKind.COPY


def _class_row(images: ImageSet, grouping: Grouping, label: int) -> ClassRow:
    of_class = images.labels == label
    searched = of_class & ~grouping.excluded
    sizes = images.sizes[of_class]
    by_area = sizes[np.argsort(sizes[:, 0].astype(np.int64) * sizes[:, 1], kind="stable")]
    return ClassRow(
        name=images.classes[label],
        training=int((of_class & ~images.testing).sum()),
        searched=int(searched.sum()),
        independent=len(np.unique(grouping.units[searched])),
        testing=int((of_class & images.testing).sum()),
        size=_size(np.median(sizes, axis=0)),
        smallest=_size(by_area[0]),
        largest=_size(by_area[-1]),
        grey=float(images.grey[of_class].mean()),
    )


def _size(pair: NDArray[np.floating] | NDArray[np.int32]) -> tuple[int, int]:
    return int(pair[0]), int(pair[1])


def _doubt(images: ImageSet) -> str:
    """Why another folder may be meant; empty where nothing speaks for it."""
    if of_layout := [note.message for note in images.notes if note.kind == DOUBT]:
        return of_layout[0]
    strangers = sum(note.kind == "not an image" for note in images.notes)
    if strangers < STRANGERS or strangers < STRANGER_SHARE * len(images.paths):
        return ""
    return f"{strangers:,} of the {strangers + len(images.paths):,} files in it are no pictures."


def _one_patient(images: ImageSet) -> bool:
    """Whether one PatientID is that of all DICOM files, as where names were removed: it tells no patients apart."""
    return images.grouped_by == PATIENTS and len({*images.groups} - {None}) == 1


# ---- in words


def _of_reading(images: ImageSet, named: UserGroups | None, of_data: UserGroups | None) -> list[str]:
    """How the layout was understood, unless it is the usual one or a note says it; where groups are from."""
    noted = (PLAIN, PLAIN_SPLITS, *(note.message for note in images.notes if note.kind == "layout"))
    sentences = [] if images.reading in noted else [images.reading]
    if named is not None and named is of_data:
        sentences.append(f"Groups are those of {named.source}; --groups names others.")
    elif of_data is not None:
        sentences.append(f"--groups says which images stay together; {of_data.source} is not used.")
    elif named is None and _one_patient(images):
        sentences.append(f"{PATIENTS} is the same in all, so it tells no patients apart and is not used.")
    return sentences


def _of_copies(images: ImageSet, pairs: Sequence[Pair], grouping: Grouping, same: NDArray[np.integer]) -> list[str]:
    """`same`: [images], equal for exact copies."""
    sentences = []
    kinds: dict[DuplicateKind, list[Pair]] = {}
    for pair in pairs:
        kinds.setdefault(_kind(images, pair), []).append(pair)
    if grouping.scene.any():
        sentences.append(
            f"{_scenes(images, grouping)} are nearly equal to others there, too many for all of them to be copies, as "
            "pictures of a fixed camera are. None of these counts as a copy, so a model may be judged by nearly a "
            "picture that it was trained on, and its score be too good: say with --groups which are of one scene."
        )
    if leaked := int(_leaked(images, grouping).sum()):
        which = _count(
            leaked, "training image is a copy of a testing image", "training images are copies of testing images"
        )
        sentences.append(f"{which}: in no fold, so that the test stays a test.")
    if DuplicateKind.CONTRADICTION in kinds:
        pairs_of_kind = kinds[DuplicateKind.CONTRADICTION]
        first, second = (printable(images.paths[row]) for row in (pairs_of_kind[0].first, pairs_of_kind[0].second))
        which = _count(len(pairs_of_kind), "picture is in two classes", "pictures are in two classes")
        sentences.append(f"{which}, such as {first} and {second}: contradictory labels, one must be wrong.")
    if DuplicateKind.MIRRORED in kinds:
        which = _count(len(kinds[DuplicateKind.MIRRORED]), "picture is", "pictures are")
        sentences.append(
            f"{which} in two classes, mirrored: where left and right make the class, search with --no-flip."
        )
    searched = ~grouping.excluded
    exact, copies = (int(searched.sum()) - len(np.unique(each[searched])) for each in (same, grouping.copies))
    if copies:
        which = _count(copies, "training image is a copy of another", "training images are copies of others")
        sentences.append(f"{which} ({_exactly(exact, copies)}): each stays in one fold with what it copies.")
    return sentences


def _scenes(images: ImageSet, grouping: Grouping) -> str:
    """The number of pictures that show one scene, and their classes."""
    names = [printable(images.classes[label]) for label in np.unique(images.labels[grouping.scene])]
    where = f"class {names[0]}" if len(names) == 1 else f"the classes {', '.join(names[:5])}"
    return f"{grouping.scene.sum():,} pictures of {where}{', …' if len(names) > 5 else ''}"


def _leaked(images: ImageSet, grouping: Grouping) -> NDArray[np.bool_]:
    """[images], True: a training image that a chain of copies joins to a testing image."""
    return np.isin(grouping.copies, grouping.copies[images.testing]) & ~images.testing


def _exactly(exact: int, of: int) -> str:
    return "all exactly" if exact == of else f"{exact} exactly, {of - exact} nearly" if exact else "all nearly"


def _of_groups(images: ImageSet, named: UserGroups | None, grouping: Grouping, versions: Versions) -> list[str]:
    sentences = [*versions.sentences]
    if named is not None:
        groups = {group for group in named.of if group is not None}
        sentences.append(f"{_count(len(groups), 'group', 'groups')} named, each in one fold.")
    if named is not None and named.remark:
        sentences.append(named.remark)
    tested = np.isin(versions.sources, versions.sources[images.testing]) & ~images.testing & ~_leaked(images, grouping)
    if tested.any():
        which = _count(
            int(tested.sum()),
            "training image is a version of a picture that is in testing too",
            "training images are versions of pictures that are in testing too",
        )
        first = printable(images.paths[int(np.flatnonzero(tested)[0])])
        sentences.append(f"{which}, such as {first}: in no fold, so that the test stays a test.")
    spanning = np.flatnonzero(grouping.excluded & ~images.testing & ~_leaked(images, grouping) & ~tested)
    if len(spanning):
        which = _count(
            len(spanning),
            "training image is of a group that is in testing too",
            "training images are of groups that are in testing too",
        )
        sentences.append(
            f"{which}, such as {printable(images.paths[spanning[0]])}: in no fold, so that the test stays a test."
        )
    return sentences


def _suggestions(images: ImageSet, versions: Versions) -> tuple[list[str], str | None]:
    """Sentences on pictures that may show one thing, by names and times, and the table of those that times tell."""
    sentences: list[str] = []
    by_name = series.find_series(images.paths, images.labels.tolist(), versions.named)
    if by_name:
        sentences.append(series.in_words(by_name, most_alike_in_group(images.pixels, by_name.groups)))
    if images.taken is None:
        return sentences, None
    first = np.unique(np.array(images.digests), return_index=True)[1]  # copies are of one time anyway
    by_time = scenes.find_scenes(
        np.where(np.isin(np.arange(len(images.taken)), first), images.taken, np.nan), images.labels
    )
    if by_time is None:
        return sentences, None
    sentences.append(scenes.in_words(by_time, images.paths, most_alike_in_group(images.pixels, by_time)))
    names = groups_by(by_name.pattern, images.paths) if by_name else ()
    return sentences, scenes.table(by_time, images.paths, names)


def _of_masks(images: ImageSet) -> list[str]:
    """On images that are named as masks of others and have two grey values."""
    masks = [row for row in mask_rows(images.paths) if images.grey[row] and _two_values(images.pixels[row])]
    if not masks:
        return []
    which = _count(len(masks), "image is", "images are")
    return [
        f"{which} named as the mask of another, such as {printable(images.paths[masks[0]])}, and of two grey values: a "
        "model would learn from masks as from pictures. Move them away if they are masks."
    ]


def _two_values(pixels: NDArray[np.uint8]) -> bool:
    """Whether nearly all values are the smallest or the largest; resizing has blurred the edges."""
    low, high = int(pixels.min()), int(pixels.max())
    margin = (high - low) / 8
    return bool(((pixels <= low + margin) | (pixels >= high - margin)).mean() >= MASK_SHARE)


def _of_depth(images: ImageSet) -> list[str]:
    brightest = int(np.median(images.pixels.max(axis=(1, 2, 3))))
    dark = [f"Half of the images have no value above {brightest} of 255: these are nearly black."]
    dark = [*(dark if brightest <= MAX_DARK else []), *_of_ranges(images)]
    dark += [f"{printable(note.path)}: {note.message}" for note in images.notes if note.kind == BRIGHTEST]
    if images.scale.is_full:
        return dark
    deep = sum(note.kind in {"16-bit", "32-bit"} for note in images.notes)
    have, scale = _count(deep, "image has", "images have"), images.scale
    if scale.bits is None:
        how = (
            f"nearly all of its values from {scale.low} to {scale.high}: these are scaled to 0 to 255, the same for all"
        )
    else:
        how = f"none with a value above {scale.high}: all are scaled from {scale.bits} bits"
    return [*dark, f"{have} grey of more than 8 bits, {how}, and pictures at prediction too."]


def _of_ranges(images: ImageSet) -> list[str]:
    """Whether 32-bit grey was scaled from different ranges: each file that holds no 16-bit values has its own."""
    notes = [note for note in images.notes if note.kind == "32-bit"]
    examples: dict[str, str] = {}
    for note in notes:
        examples.setdefault(note.message, printable(note.path))  # the message names the range
    if len(examples) < 2:
        return []
    first, second, *_ = examples.values()
    return [
        f"{len(notes):,} images of 32-bit grey are scaled from {len(examples):,} different ranges, as {first} and "
        f"{second} are. So their brightness cannot be compared, and a class may be told by it: save all of them in one "
        "range."
    ]


def _of_classes(images: ImageSet) -> list[str]:
    sentences = []
    counts = np.bincount(images.labels[~images.testing], minlength=len(images.classes))
    if counts.max() >= UNEVEN * counts.min():
        largest, smallest = (printable(images.classes[int(place)]) for place in (counts.argmax(), counts.argmin()))
        sentences.append(
            f"Class {largest} has {counts.max() / counts.min():.1f} times the images of class {smallest}: "
            "a balanced metric is the fair one."
        )
    grey = [float(images.grey[images.labels == label].mean()) for label in range(len(images.classes))]
    if min(grey) <= ONE_COLOUR and max(grey) >= TWO_COLOURS:
        vivid, colourless = (printable(images.classes[grey.index(share)]) for share in (min(grey), max(grey)))
        sentences.append(
            f"Class {colourless} is grey and class {vivid} is in colour: a model may learn that instead of the things."
        )
    return sentences


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number:,} {singular if number == 1 else plural}"
