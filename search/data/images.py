"""A folder of images as one array, with notes on all that is left out, converted or unusual."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from search.data.decoding import MAX_PIXELS, FileRemark, Header, decode, extent, glance, quiet, read_header
from search.data.depth import FULL, Scale, depth_for, scale_for
from search.data.findings import RIGHT_FOLDER
from search.data.hints import hint
from search.data.layout import list_set, name_of
from search.data.listing import PLAIN, ImageFile, Listing
from search.data.origin import Origin
from search.data.places import Place, opened
from search.data.room import chosen_pixels, empty_pixels
from search.data.tree import DOUBT, Note, read_tree
from search.errors import UsageError
from search.text import printable, quoted

MIN_SIDE, MAX_SIDE = 8, 128  # pixels, of a size taken from the data
FEW_IMAGES = 10  # a class with fewer training images gets a note
FEW_BRIGHT = 0.05  # share of deep grey images: so few that decide the scale of all get a note
BRIGHTEST = "brightest"  # kind of that note
PATIENTS = "PatientID in the DICOM files"  # `ImageSet.grouped_by`
_THREADS = 4  # Pillow decodes outside the GIL

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ImageSet:
    """All images that can be learned from or tested on. Rows: training folders first, then by class, then by name."""

    pixels: NDArray[np.uint8]
    """[images, height, width, channels], 0..255; 1 channel where all are grey, else 3. A file, mapped, where large."""
    labels: NDArray[np.int16]  # [images], index into classes
    testing: NDArray[np.bool_]  # [images], True: from a testing folder, or in the lock-box
    paths: tuple[str, ...]  # [images], relative to the root, '/' between parts, always valid Unicode
    digests: tuple[str, ...]  # [images], SHA-256 (hex) of decoded upright full-size pixels (mode, size, bytes)
    classes: tuple[str, ...]  # sorted; in NFC
    sizes: NDArray[np.int32]  # [images, 2], height and width of the files, upright, in pixels
    grey: NDArray[np.bool_]  # [images], True: without colour
    notes: tuple[Note, ...]  # on what was left out, converted or looks unusual
    fingerprint: str  # SHA-256 (hex): the same for the same pixels, labels, `names`, testing and image size
    scale: Scale = FULL  # of grey of more than 8 bits
    taken: NDArray[np.float64] | None = None  # [images], seconds, by the camera's clock; NaN: unknown. None: of none
    names: tuple[str, ...] = ()  # [images], as a folder of its class would have it: 'x.png' of 'train/cat/x.png'
    groups: tuple[str | None, ...] = ()  # [images], that the data themselves name; (): they name none
    grouped_by: str = ""  # where these are from, in words
    reading: str = PLAIN  # how the folders, table or pattern were understood, one sentence

    @property
    def fingerprint_of_paths(self) -> str:
        """The fingerprint of earlier releases, which took `paths` for `names`: another for each layout."""
        return _fingerprint(replace(self, names=self.paths))


@dataclass(frozen=True)
class _Row:
    """A decoded image without its pixels, which are in the buffer."""

    file: ImageFile
    class_name: str
    size: tuple[int, int]  # height and width of the file, upright
    digest: str
    channels: int
    taken: float | None
    patient: str | None


def read_images(
    root: Path | Origin,
    *,
    size: tuple[int, int] | None = None,
    scale: Scale | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """Read every image of a set, resized to one size.

    What is no image, damaged, hidden, too large (50 megapixels) or outside any class is
    left out, with a note. Copies, odd shapes and converted images are kept, with a note too.

    Args:
        root: `ROOT/<class>/*`, or `ROOT/training/<class>/*` with `ROOT/testing/<class>/*`; see `list_set`. An `Origin`
            says more: several roots, archives, where the labels are.
        size: (height, width) of the result. None: the median height and width of the training images,
            upright, each at least 8 and at most 128. Images are squeezed to it, not cropped.
        scale: of deep grey. None: one for all these images, see `scale_for`.
        progress: called with (files done, files in all) from the calling thread: once before the first is
            decoded, and after each; before that with (files unpacked, 0) while an archive is.

    Raises:
        UsageError: no such folder, no class folders, no images, fewer than two classes, a class with one
            training image, a layout that can be read in two ways, or an `Origin` that does not fit.
    """
    origin = root if isinstance(root, Origin) else Origin((Path(root),))
    if size is not None and min(size) < 1:
        raise UsageError(f"size: must be two numbers of at least 1, (height, width), but got {size}.")
    told = progress or (lambda _done, _total: None)
    with opened(origin.roots, progress=lambda done: told(done, 0)) as places:
        listing = list_set(places, origin)
        with quiet():
            notes = list(listing.notes)
            files, headers = _read_headers(listing.files, notes)
            height, width = size or _usual_size(files, headers)
            scale = scale or _scale(files, headers, notes)
            buffer = empty_pixels((len(files), height, width, 3))
            rows = _decode_all(files, headers, scale, buffer, notes, told)
        classes = _classes(origin, places, rows, notes)
    rows = _keep_known(rows, classes, listing, buffer, notes)
    _note_classes(rows, classes, listing, notes)
    _note_copies(rows, notes)
    images = _assemble(rows, classes, buffer, notes)
    return replace(images, scale=scale, grouped_by=listing.grouped_by or PATIENTS, reading=listing.reading)


def glance_again(
    origin: Origin,
    paths: Sequence[str],
    *,
    size: tuple[int, int],
    scale: Scale,
    channels: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> NDArray[np.uint8] | None:
    """Some images of a set that was read, at another size: [paths, height, width, channels]; None where one is gone.

    Photographs are decoded quickly, see `glance`. `paths`: some of `ImageSet.paths`; `scale`, `channels`: those of the
    set. `progress`: as of `read_images`. Raises UsageError as `opened` does.
    """
    pixels = np.empty((len(paths), *size, channels), np.uint8)
    with opened(origin.roots, paths, lambda done: progress(done, 0)) as places, quiet():
        found = [next((file for place in places if (file := place.file_of(path))), None) for path in paths]
        listed = [ImageFile(file, path, "", testing=False) for file, path in zip(found, paths, strict=True) if file]
        files, headers = _read_headers(listed, [])
        if len(files) < len(paths):
            return None
        progress(0, len(paths))
        for row, seen in enumerate(_read_each(files, headers, lambda path: glance(path, size, scale))):
            if isinstance(seen, FileRemark):
                return None
            pixels[row] = seen  # grey is broadcast where others have colours
            progress(row + 1, len(paths))
    return pixels


# ---- the two passes


def _read_headers(files: Iterable[ImageFile], notes: list[Note]) -> tuple[list[ImageFile], list[Header]]:
    """The files to decode with their headers; the others become notes."""
    kept: list[ImageFile] = []
    headers: list[Header] = []
    for file in files:
        header = read_header(file.path)
        if isinstance(header, FileRemark):
            notes.append(Note(file.shown, header.kind, header.message, True))
        elif file.class_name is None:
            message = "An image outside any class folder: left out."
            notes.append(Note(file.shown, "outside any class", message, True))
        else:
            kept.append(file)
            headers.append(header)
    return kept, headers


def _usual_size(files: Sequence[ImageFile], headers: Sequence[Header]) -> tuple[int, int]:
    """Median height and width of the training images, within the limits; the smallest size for no image."""
    training = [header for file, header in zip(files, headers, strict=True) if not file.testing]

    def usual(sides: list[int]) -> int:
        return min(max(round(statistics.median(sides)), MIN_SIDE), MAX_SIDE) if sides else MIN_SIDE

    return usual([header.height for header in training]), usual([header.width for header in training])


def _scale(files: Sequence[ImageFile], headers: Sequence[Header], notes: list[Note]) -> Scale:
    """The scale of all deep grey, see `scale_for`; `FULL` where there is none.

    A note names the file where few hold larger values than fewer bits do: a single broken pixel makes all darker.
    """
    deep = [(file, header) for file, header in zip(files, headers, strict=True) if header.deep]
    extents = _read_each([file for file, _ in deep], [header for _, header in deep], extent)
    known = [(found, file) for found, (file, _) in zip(extents, deep, strict=True) if found is not None]
    if not known:
        return FULL
    scale = scale_for([found for found, _ in known])
    if (bits := scale.bits) is None:
        return scale
    brightest = [(found.largest, file) for found, file in known if depth_for(found.largest) == bits]
    others = [found.largest for found, _ in known if depth_for(found.largest) < bits]
    if others and len(brightest) <= FEW_BRIGHT * len(known):
        value, file = brightest[0]
        which = f"it and {len(brightest) - 1} more do" if brightest[1:] else "it alone does"
        message = (
            f"Has the value {value}, where the {len(others):,} other images of deep grey have none above "
            f"{max(others)}: because {which}, all are scaled from {bits} bits instead of {depth_for(max(others))}, and "
            "are darker. Leave it out if that is an error of the camera."
        )
        notes.append(Note(file.shown, BRIGHTEST, message, False))
    return scale


def _decode_all(
    files: Sequence[ImageFile],
    headers: Sequence[Header],
    scale: Scale,
    buffer: NDArray[np.uint8],
    notes: list[Note],
    progress: Callable[[int, int], None],
) -> list[_Row]:
    """Fill the first rows of the buffer, in the order of the files; files that fail leave no gap."""
    size = (int(buffer.shape[1]), int(buffer.shape[2]))
    rows: list[_Row] = []
    progress(0, len(files))
    pictures = _read_each(files, headers, lambda path: decode(path, size, scale))
    for done, (file, header, picture) in enumerate(zip(files, headers, pictures, strict=True), start=1):
        if isinstance(picture, FileRemark):
            notes.append(Note(file.shown, picture.kind, picture.message, True))
        else:
            remarks = (*_name_remarks(file), *header.remarks, *picture.remarks)
            notes.extend(Note(file.shown, remark.kind, remark.message, False) for remark in remarks)
            buffer[len(rows)] = picture.pixels
            size_ = (header.height, header.width)
            channels = picture.pixels.shape[2]
            rows.append(
                _Row(file, file.class_name or "", size_, picture.digest, channels, header.taken, header.patient)
            )
        progress(done, len(files))
    return rows


def _read_each(
    files: Sequence[ImageFile], headers: Sequence[Header], read: Callable[[Path], _Result]
) -> Iterator[_Result]:
    """What `read` returns for each file, in order. It runs in threads, but for files that the main thread must read."""
    budget = PixelBudget(MAX_PIXELS)

    def read_within(file: ImageFile, header: Header) -> _Result:
        with budget.reserved(header.height * header.width):
            return read(file.path)

    pool = ThreadPoolExecutor(_THREADS)
    try:
        waiting = deque(
            None if header.alone else pool.submit(read_within, file, header)
            for file, header in zip(files, headers, strict=True)
        )
        for file, header in zip(files, headers, strict=True):
            future = waiting.popleft()  # popped, so that its pixels are freed once they are in the buffer
            yield future.result() if future else read_within(file, header)
    finally:
        pool.shutdown(cancel_futures=True)


def _name_remarks(file: ImageFile) -> tuple[FileRemark, ...]:
    name = file.shown.rpartition("/")[2]
    if name != file.path.name:
        return (FileRemark("odd name", "Its name is not valid UTF-8: shown with escapes, and read."),)
    if printable(name) != name:
        return (FileRemark("odd name", "Its name holds control characters: shown with escapes, and read."),)
    return ()


class PixelBudget:
    """Limits the pixels that all threads decode at once: many photographs, but only one huge image at a time."""

    def __init__(self, pixels: int) -> None:
        self._free = pixels
        self._changed = Condition()

    @contextmanager
    def reserved(self, pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


# ---- classes


def _classes(origin: Origin, places: Sequence[Place], rows: Sequence[_Row], notes: Sequence[Note]) -> tuple[str, ...]:
    """The classes that can be learned, sorted.

    Raises:
        UsageError: there is nothing to learn from.
    """
    counts = Counter(row.class_name for row in rows if not row.file.testing)
    classes = tuple(sorted(counts))
    listed = ", ".join(f"'{printable(name)}' {counts[name]}" for name in classes)
    where = ", ".join(name_of(place.given) for place in places)
    left_out = _left_out(notes, {"hidden", "not an image"} if rows else {"hidden"})
    if not rows:
        links = any(note.kind == "link" for note in notes)
        step = f"`cp -rL {quoted(where)} real` makes a folder of real files" if links else ""
        raise UsageError(
            f"{where}: no images in its class folders{left_out}. {step or 'Put PNG or JPEG files there'}."
            + ("" if origin.says_classes else _hint(places))
        )
    if not classes:
        raise UsageError(f"{where}: no images to learn from: all {len(rows)} are in testing folders{left_out}.")
    if len(classes) == 1:
        doubt = "".join(f"{RIGHT_FOLDER} {note.message} " for note in notes if note.kind == DOUBT)
        raise UsageError(
            f"{where}: one class only, {listed} training images{left_out}. {doubt}A classifier needs two or more: "
            + (
                "see what the settings of labels and classes say."
                if origin.says_classes
                else f"give each class its own folder.{_hint(places)}"
            )
        )
    alone = [name for name in classes if counts[name] < 2]  # one to learn from, one to validate
    if alone:
        raise UsageError(
            f"{where}: every class needs at least 2 training images, but '{printable(alone[0])}' has 1 "
            f"(training images: {listed}){left_out}. Add images to it, or leave it out: move its "
            "folder away, or name the others with --classes."
        )
    return classes


def _hint(places: Sequence[Place]) -> str:
    return next((said for place in places if (said := hint(read_tree(place.folder), place.given))), "")


def _left_out(notes: Sequence[Note], usual: Collection[str]) -> str:
    """What was left out, by kind, each with the first of its notes but for the `usual` kinds."""
    kinds: dict[str, list[Note]] = {}
    for note in notes:
        if note.left_out:
            kinds.setdefault(note.kind, []).append(note)
    if not kinds:
        return ""
    listed = ", ".join(f"{len(kinds[kind])} {kind}" for kind in sorted(kinds))
    telling = [group for kind, group in sorted(kinds.items()) if kind not in usual]
    firsts = [
        f"{printable(group[0].path)}: {printable(group[0].message).rstrip('.')}"
        + (f" (… and {len(group) - 1} more)" if len(group) > 1 else "")
        for group in telling
    ]
    return f" (left out: {listed}" + "".join(f"; {first}" for first in firsts) + ")"


def _keep_known(
    rows: Sequence[_Row], classes: Sequence[str], listing: Listing, buffer: NDArray[np.uint8], notes: list[Note]
) -> list[_Row]:
    """Drop testing images of classes that training lacks, moving the others up in the buffer."""
    kept: list[_Row] = []
    unknown: Counter[str] = Counter()
    for index, row in enumerate(rows):
        if row.class_name not in classes:
            unknown[row.class_name] += 1
            continue
        if index != len(kept):
            buffer[len(kept)] = buffer[index]
        kept.append(row)
    for name, count in sorted(unknown.items()):
        folder = next(folder for folder in listing.folders if folder.class_name == name)
        message = (
            f"Class '{printable(name)}' has {count} testing images but no training images: a model cannot "
            "know it, so they are left out. Add training images of it, or remove it."
        )
        notes.append(Note(folder.shown, "class missing from training", message, True))
    return kept


def _note_classes(rows: Sequence[_Row], classes: Sequence[str], listing: Listing, notes: list[Note]) -> None:
    """Empty folders, and classes with few training or no testing images."""
    training = Counter(row.class_name for row in rows if not row.file.testing)
    testing = Counter(row.class_name for row in rows if row.file.testing)
    # A class can have two folders, in training and validation: the note is on the first.
    folders = {folder.class_name: folder.shown for folder in reversed(listing.folders) if not folder.testing}
    for name, path in folders.items():
        if name not in classes:
            message = "Holds no image that can be read: not a class of the model."
            notes.append(Note(path, "empty class", message, True))
            continue
        if training[name] < FEW_IMAGES:
            message = f"Only {training[name]} training images: estimates for this class will be rough."
            notes.append(Note(path, "few images", message, False))
        if listing.has_testing and not testing[name]:
            message = "Has no testing images: the test says nothing about this class."
            notes.append(Note(path, "class missing from testing", message, False))


# ---- copies


def _note_copies(rows: Sequence[_Row], notes: list[Note]) -> None:
    """A note on each image whose pixels are those of an earlier one. Both stay in the set."""
    first: dict[str, _Row] = {}
    for row in rows:
        other = first.setdefault(row.digest, row)
        if other is not row:
            notes.append(Note(row.file.shown, "copy", _copy_message(row, other), False))


def _copy_message(row: _Row, other: _Row) -> str:
    parts = [f"The same picture as '{printable(other.file.shown)}'"]
    if row.class_name != other.class_name:
        parts.append(f"under another class ('{printable(other.class_name)}'): contradictory labels, one must be wrong")
    if row.file.testing != other.file.testing:
        parts.append("which is in training: a leak, it would make the test look better than it is")
        return ", ".join(parts) + "; the search trains on neither."
    return ", ".join(parts) + ("; both are kept." if len(parts) > 1 else " in the same class; both are kept.")


# ---- the set


def _assemble(rows: Sequence[_Row], classes: tuple[str, ...], buffer: NDArray[np.uint8], notes: list[Note]) -> ImageSet:
    sizes = np.array([row.size for row in rows], np.int32)
    grey = np.array([row.channels == 1 for row in rows], np.bool_)
    pixels = chosen_pixels(buffer, np.arange(len(rows)), 1) if grey.all() else buffer[: len(rows)]
    labels = np.array([classes.index(row.class_name) for row in rows], np.int16)
    testing = np.array([row.file.testing for row in rows], np.bool_)
    paths = tuple(row.file.shown for row in rows)
    digests = tuple(row.digest for row in rows)
    ordered = tuple(sorted(notes, key=lambda note: (note.path, note.kind)))
    taken = np.array([np.nan if row.taken is None else row.taken for row in rows])
    groups = tuple(row.file.group for row in rows)
    patients = tuple(row.patient for row in rows)
    images = ImageSet(
        pixels,
        labels,
        testing,
        paths,
        digests,
        classes,
        sizes,
        grey,
        ordered,
        fingerprint="",
        taken=taken,
        names=tuple(row.file.name for row in rows),
        groups=groups if any(groups) else patients if any(patients) else (),
    )
    return with_testing(images, testing)


def with_testing(images: ImageSet, testing: NDArray[np.bool_]) -> ImageSet:
    """The same images with `testing`, [images], and the fingerprint that follows."""
    changed = replace(images, testing=testing)
    return replace(changed, fingerprint=_fingerprint(changed))


def in_order_of(images: ImageSet, paths: Sequence[str]) -> ImageSet:
    """The same images in the order of these paths, that of a study which has begun; unchanged if they are others."""
    places = {path: row for row, path in enumerate(images.paths)}
    if images.paths == tuple(paths) or len(places) < len(images.paths) or places.keys() != set(paths):
        return images
    rows = np.array([places[path] for path in paths])
    return replace(
        images,
        pixels=chosen_pixels(images.pixels, rows, images.pixels.shape[3]),
        labels=images.labels[rows],
        testing=images.testing[rows],
        paths=tuple(paths),
        digests=tuple(images.digests[row] for row in rows),
        sizes=images.sizes[rows],
        grey=images.grey[rows],
        taken=None if images.taken is None else images.taken[rows],
        names=tuple(images.names[row] for row in rows),
        groups=tuple(images.groups[row] for row in rows) if images.groups else (),
    )


def _fingerprint(images: ImageSet) -> str:
    shape = images.pixels.shape[1:]
    names = images.names or images.paths
    identity = [shape, images.classes, images.digests, images.labels.tolist(), images.testing.tolist(), names]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
