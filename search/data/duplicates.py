"""Copies among pictures: the same pixels, and nearly the same (resized, compressed again, brighter, mirrored)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.data.groups import GroupIds, connected

MAX_BITS = 8  # of 64 in which the perceptual hashes of two pictures may differ
MIN_LIKENESS = 0.98  # correlation of the grey values of two pictures, from which on they are near copies
MIN_SPREAD = 4.0  # standard deviation of grey values; below it a picture is too plain to be compared with others
MAX_PAIRS = 10  # kept of an image, and as many mirrored: hundreds of equal images would fill the memory
_SIDE = 32  # pixels
_BLOCK = 512  # images that are compared with all others at once
MOST_COMPARED = 512  # images of groups for which the most similar picture is looked for


@dataclass(frozen=True)
class Pair:
    """Two images that show the same picture."""

    first: int  # rows of the pixel array, first < second
    second: int
    exact: bool  # the same pixels; else nearly the same
    mirrored: bool = False  # one is the other turned left to right
    likeness: float = 1.0  # correlation of grey values at 32 x 32 pixels


@dataclass(frozen=True)
class NearDuplicates:
    """Images that show nearly the same picture."""

    pairs: tuple[Pair, ...]  # in order; of each image those with the MAX_PAIRS later ones that are most like it
    parts: GroupIds  # [images], equal for images that a chain of pairs joins, also of pairs that are not in `pairs`


def exact_copies(digests: Sequence[str]) -> tuple[Pair, ...]:
    """Images with equal digests: the first with each of the others."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(digest, row), row) for row, digest in enumerate(digests)]
    return tuple(Pair(a, b, True) for a, b in pairs if a != b)


def near_copies(pixels: NDArray[np.uint8], digests: Sequence[str]) -> NearDuplicates:
    """Images that show nearly the same picture, one of each digest.

    A pair agrees in the perceptual hash (imagehash's pHash: signs of low frequencies of a cosine transform) but for
    `MAX_BITS`, and its grey values correlate by at least `MIN_LIKENESS`, so brightness and contrast do not matter.
    Measured on 1,355 different pictures of three sets (531,000 pairs, each also mirrored): no false pair, where the
    hash alone has 1,475. Found of 300 copies: all mirrored, 299 with JPEG quality 75, 275 with 40, 297 brighter by
    12 %; resized to 60 % all photographs, but few of 32 pixels, which that blurs. Crops and turns are not found.
    Cosines of the features of a pre-trained network separate copies from other pairs far less well: at 0.95 there were
    two false pairs, and most copies of JPEG quality 40 were below 0.87.

    Args:
        pixels: [images, height, width, channels].
        digests: [images], equal for equal pictures.
    """
    parts: GroupIds = np.arange(len(digests), dtype=np.int32)
    _, rows = np.unique(np.array(digests), return_index=True)
    rows = np.sort(rows)
    grey = np.stack([_grey(pixels[row]) for row in rows])
    comparable = grey.std(axis=(1, 2)) >= MIN_SPREAD
    rows, grey = rows[comparable], grey[comparable]
    if len(rows) < 2:
        return NearDuplicates((), parts)
    best: dict[tuple[int, int], Pair] = {}
    upright = _hashes(grey), _standardized(grey)
    for mirrored in (False, True):
        others = (_hashes(grey[:, :, ::-1]), _standardized(grey[:, :, ::-1])) if mirrored else upright
        for start in range(0, len(rows), _BLOCK):
            first, second, likeness = _alike(upright, others, start)
            first, second = rows[first], rows[second]
            parts = connected(parts, pairs=(first, second))
            kept = _most_alike(first, likeness)
            for a, b, value in zip(first[kept], second[kept], likeness[kept], strict=True):
                pair = Pair(int(a), int(b), False, mirrored, min(float(value), 1.0))
                known = best.setdefault((pair.first, pair.second), pair)  # a symmetric picture matches mirrored too
                if pair.likeness > known.likeness:
                    best[pair.first, pair.second] = pair
    return NearDuplicates(tuple(best[rows_] for rows_ in sorted(best)), parts)


def most_alike_in_group(pixels: NDArray[np.uint8], groups: GroupIds) -> tuple[float, float] | None:
    """Of the images that have others in their group, for which share the most similar picture of all is one of these.

    Similar is what has the largest correlation of grey values at 32 x 32 pixels. At most `MOST_COMPARED` of these
    images are looked at, evenly over all. (The share, the share if groups were drawn by chance); None where it is not
    clearly more than that, by three standard deviations of a rare event's number.

    Args:
        pixels: [images, height, width, channels].
        groups: [images], equal for images of one group.
    """
    several = np.flatnonzero(np.bincount(groups)[groups] > 1)
    if not len(several):
        return None
    views = _standardized(np.stack([_grey(image) for image in pixels]))
    asked = several[np.unique(np.linspace(0, len(several) - 1, MOST_COMPARED).astype(int))]
    likeness = views[asked] @ views.T
    likeness[np.arange(len(asked)), asked] = -np.inf
    found = groups[likeness.argmax(axis=1)] == groups[asked]
    chance = (np.bincount(groups)[groups[asked]] - 1) / (len(groups) - 1)
    clear = found.sum() > chance.sum() + 3 * np.sqrt(chance.sum()) + 1
    return (float(found.mean()), float(chance.mean())) if clear else None


Views = tuple[NDArray[np.uint64], NDArray[np.float32]]
"""Perceptual hashes [images] and standardised grey values [images, pixels]."""


def _alike(views: Views, others: Views, start: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Of the pairs whose first image is in the block from `start`: both places and the likeness, each [pairs]."""
    block = slice(start, start + _BLOCK)
    near = np.bitwise_count(views[0][block, None] ^ others[0][None]) <= MAX_BITS
    near &= np.arange(len(views[0]))[None] > np.arange(start, start + len(near))[:, None]
    first, second = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    likeness = views[1][start + first] @ others[1][second].T
    places = np.nonzero(near[np.ix_(first, second)] & (likeness >= MIN_LIKENESS))
    return start + first[places[0]], second[places[1]], likeness[places]


def _most_alike(first: NDArray[np.intp], likeness: NDArray[np.float32]) -> NDArray[np.intp]:
    """The places of the pairs to keep: of each first image, the MAX_PAIRS most alike."""
    order = np.lexsort((-likeness, first))
    place = np.arange(len(order)) - np.searchsorted(first[order], first[order])
    return order[place < MAX_PAIRS]


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[32, 32] from one image's [height, width, channels]."""
    from PIL import Image

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("L")
    return np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))


def _hashes(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    import imagehash
    from PIL import Image

    bits = np.stack([imagehash.phash(Image.fromarray(values)).hash.ravel() for values in grey])
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)[:, 0]


def _standardized(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    flat = grey.reshape(len(grey), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1.0)  # a picture of one value is like none
    return flat
