"""The state of long fold runs on disk: another worker, or another session, goes on from it to the same result.

A fold run has two files, written in turn between two epochs, so a whole one is there at any moment. A file is the
SHA-256 of what follows, the length of the head (8 bytes, little endian), the head as JSON, then the bytes of arrays,
whose shapes and types the reader knows from the model. So reading one, which may be a stranger's, runs no code and
takes no more memory than the file. A file that is damaged, or is not exactly of this fold run, is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search.diagnosis.evidence import Diagnosis
from search.files import no_links, replacing
from search.jobs import STATE, FoldJob, SaveRequest, Saving, WorkerContext, remove
from search.native import installed

if TYPE_CHECKING:
    from search.worker.fold_run import FoldRun, FoldState
    from search.worker.trainer import Trainer

FORMAT = 1
PACKAGES = ("smallsearch", "tensorflow", "keras", "numpy")  # another version of one: the fold run begins again
WRITES_APART = 20  # times the seconds of the last write pass at least until the next: a large network loses 5 % at most
LOOK_SECONDS = 0.25  # between two looks at the clock's rules and for a request: an epoch can take a millisecond
SPARE = 200_000_000  # bytes of disk that are left free: results come first
HEAD_BYTES, EPOCH_BYTES, ARRAY_BYTES = 200_000, 1000, 1000  # of a head at most: fixed, for each epoch and array
DIGEST, LENGTH = 32, 8  # bytes


class SavedError(Exception):
    """The search stops, and the fold run is on disk. The message says after which epoch."""


@dataclass(frozen=True)
class _Head:
    """All of a fold run's state that is no array, and what it belongs to."""

    belongs: dict[str, Any]
    epochs: int
    values: dict[str, list[float]]  # see `Curve`
    best_epoch: int
    best_loss: float
    diagnosis: Diagnosis | None
    base_rate: float
    order: dict[str, Any]
    seconds: float
    predicting: tuple[float, ...]
    arrays: list[tuple[str, list[int]]]  # type and shape of each
    kept: bool  # whether the file of kept weights (`FoldJob.keep`) follows the arrays
    finished: bool = False  # whether it waits for others only, beside which it was trained


class Turns:
    """When the states of fold runs that are trained together are written: by the clock, and when the search stops."""

    def __init__(self, saving: Saving, asked: Callable[[], SaveRequest | None] = lambda: None) -> None:
        """`asked`: what the search has asked for since the last call."""
        self._saving, self._asked = saving, asked
        self.before = 0  # epochs that were done elsewhere
        self._began = self._written = self._looked = time.monotonic()
        self._wait = saving.seconds  # from the last write to the next

    def after_epoch(self, epochs: int, most: int, write: Callable[[], bool]) -> None:
        """Call `write` if it is due; it returns whether all was written. `epochs`: done, of at most `most`.

        Raises SavedError if the search stops and the fold runs may take longer than it has.
        """
        now = time.monotonic()
        is_due = now - self._written >= self._wait
        if now - self._looked < LOOK_SECONDS and not is_due:
            return
        self._looked = now
        if request := self._asked():
            an_epoch = (now - self._began) / (epochs - self.before)
            if (most - epochs) * an_epoch > request.seconds and write():
                raise SavedError(f"its state after epoch {epochs} is stored")
        elif is_due:
            began = time.monotonic()
            write()
            self._written = time.monotonic()
            self._wait = max(self._saving.seconds, WRITES_APART * (self._written - began))


class Checkpoint:
    """A `Saver` of one fold run."""

    def __init__(
        self,
        saving: Saving,
        trainer: Trainer,
        job: FoldJob,
        asked: Callable[[], SaveRequest | None] = lambda: None,
    ) -> None:
        """`asked`: as of Turns; of a fold run beside others nothing is asked, see `write`."""
        self._saving, self._trainer, self._job = saving, trainer, job
        self._belongs = json.loads(json.dumps(belonging(job, trainer.context, saving)))
        digest = hashlib.sha256(json.dumps(self._belongs, sort_keys=True).encode()).hexdigest()[:16]
        name = f"{saving.name(job)}-{digest}"
        self._files = [saving.folder / f"{name}-{number}{STATE}" for number in range(2)]
        self._next = 0  # of the files, to be written
        self._turns = Turns(saving, asked)

    def go_on(self, run: FoldRun) -> None:
        """See Saver. What cannot be used is removed."""
        job, found = self._job, self._saving.files(self._job)
        ours = sorted(set(self._files) & set(found), key=_changed, reverse=True)
        for number, path in enumerate(ours):
            if self._restored(path, run):
                self._next, self._turns.before = 1 - self._files.index(path), run.epochs
                what = f"trial {job.trial}, repeat {job.repeat}, fold {job.fold}"
                print(f"{what}: goes on after epoch {run.epochs}", file=sys.stderr)  # noqa: T201 - into the log
                found = [other for other in found if other not in ours[number:]]
                break
        remove(found)

    def after_epoch(self, run: FoldRun) -> None:
        """See Saver. Raises what `Turns.after_epoch` does."""
        self._turns.after_epoch(run.epochs, self._job.training.max_epochs, lambda: self.write(run))

    def write(self, run: FoldRun, share: float = 1.0) -> bool:
        """Whether its state was written. It is not where that fails: nothing is lost by that alone.

        `share`: of the seconds so far that were spent for this run, rather than for those beside it.
        """
        state, keep = run.state(), self._job.keep
        arrays = _arrays(state)
        try:
            kept = keep.read_bytes() if keep and keep.is_file() else None
            head = asdict(self._head(state, arrays, kept=kept is not None)) | {"seconds": share * state.seconds}
            text = json.dumps(head, default=_plain).encode()
            parts: list[bytes | memoryview] = [len(text).to_bytes(LENGTH, "little"), text, *map(_bytes, arrays)]
            parts.append(kept or b"")
            self._saving.folder.mkdir(parents=True, exist_ok=True)
            total, _, free = shutil.disk_usage(self._saving.folder)
            if total and free < sum(map(len, parts)) + SPARE:  # some network file systems say 0 of 0
                return False
            _write(self._files[self._next], parts)
        except OSError as error:
            print(f"the state of a fold run is not stored: {error}", file=sys.stderr)  # noqa: T201 - into the log
            return False
        self._next = 1 - self._next
        return True

    def _head(self, state: FoldState, arrays: Sequence[NDArray[Any]], *, kept: bool) -> _Head:
        return _Head(
            belongs=self._belongs,
            epochs=state.epochs,
            values=state.curve.values,
            best_epoch=state.curve.best_epoch,
            best_loss=state.curve.best_loss,
            diagnosis=state.diagnosis,
            base_rate=state.base_rate,
            order=dict(state.order),
            seconds=state.seconds,
            predicting=state.predicting,
            arrays=_shapes(arrays),
            kept=kept,
            finished=state.finished,
        )

    def _restored(self, path: Path, run: FoldRun) -> bool:
        """Whether a run that has just begun has the state in this file now."""
        try:
            head, body = _read(path, self._head_bytes, self._limit())
            state, kept = self._checked(head, body, run.state())
            if self._job.keep and kept is None:
                self._job.keep.unlink(missing_ok=True)  # of epochs that are done again
            elif self._job.keep and kept is not None:
                self._job.keep.parent.mkdir(parents=True, exist_ok=True)
                with replacing(self._job.keep) as partial:
                    partial.write_bytes(kept)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's file causes, the fold run begins again
            print(f"{path.name} is not used: {str(error)[:200]}", file=sys.stderr)  # noqa: T201 - into the log
            return False
        run.restore(state)
        return True

    @property
    def _head_bytes(self) -> int:
        """Of a head at most: a small one may be objects of a hundred times its size."""
        belongs = len(json.dumps(self._belongs))
        return (
            HEAD_BYTES
            + belongs
            + EPOCH_BYTES * self._job.training.max_epochs
            + ARRAY_BYTES * len(self._trainer.variables)
        )

    def _limit(self) -> int:
        """Bytes of a file at most: a few times what the model has."""
        variables = sum(int(np.prod(variable.shape)) * 8 for variable in self._trainer.variables)
        return self._head_bytes + 2 * variables + 8 * int(self._trainer.network.count_params()) + 8 * self._numbers

    @property
    def _numbers(self) -> int:
        """How many probabilities there are."""
        return len(self._job.validate) * self._trainer.context.facts.classes

    def _checked(self, head: _Head, body: memoryview, now: FoldState) -> tuple[FoldState, bytes | None]:
        """(the state that the file has, the kept weights). `now`: of the run that is to go on. Raises ValueError."""
        from search.worker.fold_run import Curve, FoldState

        job, lengths = self._job, {len(values) for values in head.values.values()}
        if head.belongs != self._belongs:
            raise ValueError("it belongs to another fold run")
        if not 0 < head.epochs < job.training.max_epochs + head.finished or lengths != {head.epochs}:
            raise ValueError("its curve is not of its epochs")
        if not (0 < head.best_epoch <= head.epochs and 0 <= head.seconds < np.inf and head.base_rate >= 0):
            raise ValueError("its numbers are impossible")
        np.random.default_rng(0).bit_generator.state = head.order  # raises where that is none
        shape = len(job.validate), self._trainer.context.facts.classes
        expected = [*now.variables, np.zeros(shape, np.float32)]
        if head.arrays != _shapes(expected):
            raise ValueError("its arrays are of another model")
        *variables, probabilities = _split(body, expected)
        rest = bytes(body[sum(array.nbytes for array in expected) :])
        curve = Curve(head.values, head.best_epoch, head.best_loss, probabilities)
        for epoch, wanted in job.training.min_score_at.items():  # it may ask for more than when this was written
            so_far = Curve({name: values[:epoch] for name, values in head.values.items()})
            if epoch <= head.epochs and so_far.below(wanted, self._trainer.context.metric):
                raise ValueError(f"the fold run ends at epoch {epoch}")
        state = FoldState(
            epochs=head.epochs,
            finished=head.finished,
            behind=False,
            curve=curve,
            diagnosis=head.diagnosis,
            base_rate=head.base_rate,
            order=head.order,
            start=now.start,  # the same: both began alike
            variables=tuple(variables),
            seconds=head.seconds,
            predicting=head.predicting,
        )
        return state, rest if head.kept else None


def belonging(job: FoldJob, context: WorkerContext, saving: Saving) -> Mapping[str, Any]:
    """All that decides the result of a fold run, but `min_score_at`, which only ends it earlier."""
    import tensorflow as tf

    options = {name: value for name, value in vars(job.training).items() if name != "min_score_at"}
    rows = hashlib.sha256(job.train.tobytes() + b"/" + job.validate.tobytes()).hexdigest()
    return {
        "format": FORMAT,
        "fold": [job.trial, job.repeat, job.fold],
        "seeds": [job.seed, context.seed],
        "params": dict(job.params),
        "training": options,
        "edit": repr(job.edit),
        "rows": rows,
        "images": saving.images,
        "preset": context.preset,
        "model": context.model.sha256 if context.model else None,
        "backbones": [[backbone.name, backbone.sha256] for backbone in context.facts.backbones],
        "metric": context.metric,
        "precision": [context.precision, context.xla],
        "gpu": bool(tf.config.list_logical_devices("GPU")),
        "versions": _versions(),
    }


@cache
def _versions() -> dict[str, str]:
    return {"python": sys.version.split()[0], **installed(PACKAGES)}


def _arrays(state: FoldState) -> list[NDArray[Any]]:
    assert state.curve.best_probabilities is not None  # noqa: S101 - there is at least one epoch
    return [*state.variables, state.curve.best_probabilities]


def _bytes(array: NDArray[Any]) -> memoryview:
    """The array's bytes, not copied. `memoryview(array)` alone knows no bfloat16, and casts no empty array."""
    return array.reshape(-1).view(np.uint8).data


def _shapes(arrays: Sequence[NDArray[Any]]) -> list[tuple[str, list[int]]]:
    return [(str(array.dtype), list(array.shape)) for array in arrays]


def _split(body: memoryview, expected: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """The arrays of these types and shapes whose bytes `body` begins with. Raises ValueError if it is too short."""
    arrays, start = [], 0
    for array in expected:
        part = body[start : start + array.nbytes]
        arrays.append(np.frombuffer(part, array.dtype).reshape(array.shape).copy())
        start += array.nbytes
    return arrays


def _plain(number: Any) -> Any:
    """A NumPy number for JSON."""
    return number.item()


def _changed(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


def _write(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    with replacing(path) as partial, partial.open("wb") as file:
        file.writelines([digest.digest(), *parts])


def _read(path: Path, head_bytes: int, limit: int) -> tuple[_Head, memoryview]:
    """(the head, the bytes after it) of a file of at most `limit` bytes, its head of at most `head_bytes`.

    Raises whatever a stranger's JSON causes, besides OSError and ValueError.
    """
    # Not blocking: in a study folder from a stranger it could be a pipe, at which reading would wait for ever.
    with os.fdopen(no_links(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise ValueError("it is no file of this size")
        content = memoryview(file.read(limit))
    if hashlib.sha256(content[DIGEST:]).digest() != bytes(content[:DIGEST]):
        raise ValueError("it is damaged")
    begin, length = DIGEST + LENGTH, int.from_bytes(content[DIGEST : DIGEST + LENGTH], "little")
    if length > head_bytes:
        raise ValueError("its head is too long")
    head: _Head = _adapter().validate_python(json.loads(bytes(content[begin : begin + length])))
    return head, content[begin + length :]


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(_Head)
