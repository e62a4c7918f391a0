"""The size at which pictures are read for pre-trained networks, where nobody says it: two are compared.

A pre-trained network sees the same pictures once as they would be stored by default, enlarged, and once as they would
be stored larger, both at the same side: what differs is their detail alone. A linear head on its features is judged out
of fold. The larger size must be clearly better, since all that follows takes longer at it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.data.folds import fold_rows
from search.data.images import MIN_SIDE, glance_again
from search.executors.base import Executor
from search.jobs import Failure, FitOptions, FoldJob, FoldResult, Outcome, Pixels, WorkerContext, probed
from search.results.progress import Watched
from search.seeds import derive
from search.session.prepare import lost_detail
from search.stats.metrics import METRICS
from search.stats.paired import difference
from search.study.database import folds_of
from search.study.prepared import Prepared
from search.study.size_probe import SizeProbe
from spaces.facts import Facts
from spaces.presets import FAMILIES

Size: TypeAlias = tuple[int, int]  # height and width in pixels
Reading: TypeAlias = Callable[[], AbstractContextManager[Callable[[int, int], None]]]
"""A context for reading images; its value is called with (images read, images in total)."""
Watching: TypeAlias = Callable[[], AbstractContextManager[Watched]]
"""A context for training; its value is called with (what is done, how much of it is done, how much there is)."""

SIDES = (224, 384)  # that of ImageNet; and what networks of that side are tested at with gain (arXiv 1906.06423)
MIN_GROWTH = 1.5  # times as many pixels: less cannot show much more
MAX_SAMPLE = 300  # pictures that are compared
MAX_FOLDS = 5
MAX_BYTES = 2**29  # of all pictures at the larger size: they are in memory while a study is prepared
MIN_SECONDS = 600.0  # of a search: in a shorter one the comparison would take a large part
_COMPARING = "comparing sizes of pictures"


def larger_size(prepared: Prepared, side: int, now: Size) -> Size | None:
    """The size to compare with `now`, each side at most `side`; None where there is nothing to compare."""
    config = prepared.config
    if prepared.begun:
        return None
    names = {name for name in prepared.space.by_name if name.endswith("input_size")}
    if config.image_size or prepared.own or not names - {*config.space} or probed(prepared.facts.backbones) is None:
        return None
    if config.hours is not None and config.hours * 3600 < MIN_SECONDS:
        return None
    height, width = (min(max(round(usual), MIN_SIDE), side) for usual in np.median(prepared.images.sizes, axis=0))
    images, channels = prepared.images.pixels.shape[0], prepared.images.pixels.shape[3]
    if height * width < MIN_GROWTH * now[0] * now[1] or images * height * width * channels > MAX_BYTES:
        return None
    return height, width


def compare_sizes(
    prepared: Prepared, folder: Path, executor: Executor, reading: Reading, watching: Watching
) -> SizeProbe | None:
    """What decides the size of the images of a new study, `prepared` at the usual one; None if nothing was compared.

    A size that is clearly better is compared with the next one. The executor is prepared for it, and must be prepared
    again afterwards. Raises UsageError as `read_images` does.
    """
    rows, now = _sample(prepared), _size_of(prepared)
    small, chosen = prepared.images.pixels[rows], None
    for side in SIDES:
        size = larger_size(prepared, side, now)
        large = size and _at(size, prepared, rows, folder, reading)
        if size is None or large is None:
            break
        found = _Comparison(prepared, rows, side, (now, size)).of(small, large, executor, watching)
        if found is None or not found.is_larger:
            return chosen or found
        chosen, small, now = found, large, size
    return chosen


def with_size(prepared: Prepared, found: SizeProbe | None, again: Callable[[SizeProbe], Prepared]) -> Prepared:
    """The study with the size of images that was found. `again` prepares it anew at another one than it has."""
    if found is None:
        return prepared
    if found.is_larger:
        return again(found)
    lost = lost_detail(prepared.images)
    remarks = (*(remark for remark in prepared.remarks if remark != lost), found.sentence)
    return replace(prepared, size_probe=found, remarks=remarks)


def planned(prepared: Prepared) -> str:
    """What `compare_sizes` would compare first, in words; empty where nothing."""
    now = _size_of(prepared)
    size = larger_size(prepared, SIDES[0], now)
    if size is None:
        return ""
    small, large = (f"{width} x {height}" for height, width in (now, size))
    return f"{len(_sample(prepared)):,} pictures are compared at {small} and {large} pixels, which decides their size"


def _size_of(prepared: Prepared) -> Size:
    height, width = prepared.images.pixels.shape[1:3]
    return int(height), int(width)


def _sample(prepared: Prepared) -> NDArray[np.intp]:
    """Rows of at most MAX_SAMPLE images that are in a fold, as many of each class as there are, ascending."""
    labels, assignment = prepared.images.labels, folds_of(prepared, 0)
    random = np.random.default_rng(derive(prepared.config.seed, "image size"))
    most = max(2, MAX_SAMPLE // len(prepared.images.classes))
    rows = [np.flatnonzero((labels == label) & (assignment >= 0)) for label in range(len(prepared.images.classes))]
    return np.sort(np.concatenate([random.permutation(of_class)[:most] for of_class in rows]))


def _at(
    size: Size, prepared: Prepared, rows: NDArray[np.intp], folder: Path, reading: Reading
) -> NDArray[np.uint8] | None:
    images = prepared.images
    with reading() as progress:
        return glance_again(
            prepared.config.origin(folder),
            [images.paths[row] for row in rows],
            size=size,
            scale=images.scale,
            channels=images.pixels.shape[3],
            progress=progress,
        )


@dataclass(frozen=True)
class _Comparison:
    """Of the same pictures at two sizes."""

    prepared: Prepared
    rows: NDArray[np.intp]
    side: int  # at which the network sees both
    sizes: tuple[Size, Size]  # the smaller and the larger

    def of(
        self, small: NDArray[np.uint8], large: NDArray[np.uint8], executor: Executor, watching: Watching
    ) -> SizeProbe | None:
        """What was found; None where a head could not be fitted. `small`, `large`: [rows, height, width, channels]."""
        labels, metric = self.prepared.images.labels[self.rows], self.prepared.config.metric
        jobs = self._jobs()
        with tempfile.TemporaryDirectory(prefix="smallsearch-") as name:
            context = self._context(_written(Path(name) / "pixels.npy", (small, large), self.side))
            executor.prepare(context, Path(name) / "logs")
            outcomes: list[Outcome] = []
            with watching() as told:
                told(_COMPARING, 0, len(jobs))
                for future in [executor.submit(job) for job in jobs]:
                    outcomes.append(future.result())
                    told(_COMPARING, len(outcomes), len(jobs))
        answers = np.full((2, len(self.rows), len(self.prepared.images.classes)), np.nan, np.float32)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Failure):
                return None
            assert isinstance(outcome, FoldResult)  # noqa: S101 - the answer to a FoldJob
            answers[job.trial, job.validate - job.trial * len(self.rows)] = outcome.probabilities
        found = difference(metric, labels, answers[0], answers[1])
        if found is None:
            return None
        scores = METRICS[metric].of(labels, answers[0]), METRICS[metric].of(labels, answers[1])
        before, size = self.sizes
        backbone = context.facts.backbones[0].name
        return SizeProbe.of(found, scores, side=self.side, before=before, size=size, backbone=backbone)

    def _jobs(self) -> Sequence[FoldJob]:
        """The folds of the smaller size, as trial 0, and of the larger. Groups stay in one fold, as in the search."""
        assignment = folds_of(self.prepared, 0)[self.rows] % min(MAX_FOLDS, self.prepared.folds)
        params = FAMILIES["frozen"].space(self._facts()).defaults(input_size=self.side)
        seed = derive(self.prepared.config.seed, "image size", self.side)
        jobs = []
        for trial in (0, 1):
            for fold in np.unique(assignment).tolist():
                train, validate = (rows + trial * len(self.rows) for rows in fold_rows(assignment, fold))
                jobs.append(FoldJob(trial, 0, fold, params, train, validate, derive(seed, fold), FitOptions()))
        return jobs

    def _context(self, pixels: Path) -> WorkerContext:
        labels = np.tile(self.prepared.images.labels[self.rows], 2)
        return WorkerContext(
            Pixels(pixels),
            labels,
            self._facts(),
            "frozen",
            self.prepared.config.metric,
            features=pixels.parent / "features",
            seed=self.prepared.config.seed,
        )

    def _facts(self) -> Facts:
        """Of the sample at the side that the network sees, with one network, and without the mirror image."""
        backbone = probed(self.prepared.facts.backbones)
        assert backbone is not None  # noqa: S101 - see `larger_size`
        return replace(
            self.prepared.facts,
            height=self.side,
            width=self.side,
            images=len(self.rows),
            backbones=(backbone,),
            flip=False,
            side=self.side,
        )


def _written(path: Path, arms: Sequence[NDArray[np.uint8]], side: int) -> Path:
    """The path of a .npy file of all these images at one side, enlarged as a network would do it: bilinear."""
    shape = (sum(map(len, arms)), side, side, arms[0].shape[3])
    pixels = np.lib.format.open_memmap(path, "w+", np.uint8, shape)  # in a file, since two copies take much memory
    for row, image in enumerate(image for arm in arms for image in arm):
        flat = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        pixels[row] = np.asarray(flat.resize((side, side), Image.Resampling.BILINEAR)).reshape(shape[1:])
    pixels.flush()
    return path
