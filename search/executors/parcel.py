"""Jobs without the paths of one machine: what a job reads goes with it, and what it writes comes back.

A file travels by its content. The machine of a worker keeps it under a hash, so it arrives there once, whatever number
of jobs and workers need it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from search.files import replacing
from search.jobs import BundleJob, ComposeJob, FoldJob, Job, LookJob, Pixels, RefitJob, WorkerContext
from spaces.backbones import Backbone
from spaces.custom.file import ModelFile, sources

Ref: TypeAlias = Any
"""What stands for the bytes of a file on their way: see `Shelf`."""

IN_A_FOLDER = (".json", ".h5", ".safetensors")  # what a pre-trained network in a folder consists of


@dataclass(frozen=True)
class Item:
    """A file, or a folder of files, that a job or the context reads."""

    path: str  # on the machine of the search
    digest: str  # hex, of all names and contents
    files: tuple[tuple[str, Ref], ...]  # names without a folder, and contents
    is_folder: bool = False  # whether `path` is their folder, else the first of them

    def place(self, store: Path, fetch: Callable[[Ref], bytes]) -> Path:
        """Where it lies below `store`, which is on the machine of the worker; what is not there yet is fetched."""
        home = store / self.digest
        home.mkdir(parents=True, exist_ok=True)
        for name, ref in self.files:
            if not (home / name).exists():
                with replacing(home / name) as partial:
                    partial.write_bytes(fetch(ref))
        return home if self.is_folder else home / self.files[0][0]


class Shelf:
    """What was sent already. Of a file that has changed the new content is sent."""

    def __init__(self, put: Callable[[bytes], Ref]) -> None:
        """`put` sends bytes, and returns what they can be fetched by."""
        self._put = put
        self._sent: dict[tuple[str, int, int], tuple[bytes, Ref]] = {}  # file, size and time -> hash and reference

    def item(self, path: Path, files: Sequence[Path] = ()) -> Item:
        """A file, with others that belong beside it; or a folder, with `files` in it. Raises OSError."""
        is_folder, digest, sent = path.is_dir(), hashlib.sha256(), []
        for file in files if is_folder else (path, *(file for file in files if file != path)):
            of_file, ref = self._send(file)
            digest.update(file.name.encode() + b"\0" + of_file)
            sent.append((file.name, ref))
        return Item(str(path), digest.hexdigest(), tuple(sent), is_folder)

    def _send(self, file: Path) -> tuple[bytes, Ref]:
        found = file.stat()
        key = str(file), found.st_size, found.st_mtime_ns
        if key not in self._sent:
            content = file.read_bytes()
            self._sent[key] = hashlib.sha256(content).digest(), self._put(content)
        return self._sent[key]


# The context


def items_of_context(context: WorkerContext, shelf: Shelf) -> tuple[Item, ...]:
    """What a context reads: images, the user's builder with what it imports, weights. Raises OSError."""
    items = [shelf.item(context.pixels.path)] if context.pixels else []
    if context.model:
        items.append(shelf.item(path := Path(context.model.path), [*sources(path)]))
    for weights in map(_weights_of, context.facts.backbones):
        if weights is not None:
            inside = weights.iterdir() if weights.is_dir() else ()
            items.append(shelf.item(weights, sorted(file for file in inside if file.suffix in IN_A_FOLDER)))
    return tuple(items)


def moved_context(context: WorkerContext, places: Mapping[str, Path], features: Path) -> WorkerContext:
    """The context on the machine of a worker. `places`: by `Item.path`; `features`: a folder there."""
    model = context.model
    backbones = (
        backbone if (path := _weights_of(backbone)) is None else _with_weights(backbone, places[str(path)])
        for backbone in context.facts.backbones
    )
    return replace(
        context,
        pixels=Pixels(places[str(context.pixels.path)]) if context.pixels else None,
        model=ModelFile(str(places[model.path]), model.function, model.sha256) if model else None,
        facts=replace(context.facts, backbones=tuple(backbones)),
        features=features if context.features else None,
        saving=None,  # a fold run that is lost with its node begins again
    )


def _weights_of(backbone: Backbone) -> Path | None:
    """The file or folder of its weights; None for those of an installed package, which each machine has."""
    path: Path | None = getattr(backbone, "path", None)
    return path


def _with_weights(backbone: Backbone, path: Path) -> Backbone:
    moved: Backbone = replace(backbone, path=path)  # type: ignore[call-arg]  # see `_weights_of`
    return moved


# Jobs


def reads(job: Job) -> Iterator[Path]:
    """The files that a job reads."""
    if isinstance(job, RefitJob) and job.weights:
        yield job.weights
    elif isinstance(job, ComposeJob):
        yield from (path for path, _ in job.parts)
    elif isinstance(job, LookJob):
        yield job.path


def writes(job: Job) -> Path | None:
    """The file that a job writes; None if it writes none."""
    if isinstance(job, FoldJob):
        return job.keep
    return job.path if isinstance(job, RefitJob | ComposeJob) else None


def moved(job: Job, places: Mapping[str, Path], out: Path) -> Job:
    """The job on the machine of a worker. `places`: what it reads, by `Item.path`; `out`: the file that it writes."""
    if isinstance(job, FoldJob):
        return replace(job, keep=out) if job.keep else job
    if isinstance(job, BundleJob):  # their weights stay behind: a job writes one file
        return BundleJob(tuple(replace(fold, keep=None) for fold in job.folds))
    if isinstance(job, RefitJob):
        return replace(job, path=out, weights=places[str(job.weights)] if job.weights else None)
    if isinstance(job, ComposeJob):
        return replace(job, path=out, parts=tuple((places[str(path)], weight) for path, weight in job.parts))
    return replace(job, path=places[str(job.path)]) if isinstance(job, LookJob) else job
