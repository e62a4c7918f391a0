"""A fold run that is cut short goes on from its stored state, as if nothing had happened; any other file is ignored."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.jobs import Failure, FailureCause, FoldJob, FoldResult, SaveRequest, Saving, WorkerContext
from search.study.prepared import Prepared
from search.worker import checkpoint
from search.worker.worker import Worker
from spaces import Value
from spaces.backbones.lite import LITE0
from spaces.custom.file import named
from spaces.facts import Facts
from spaces.presets import FAMILIES
from tests.search.worker.test_callbacks import WATCHED
from tests.search.worker.test_custom_training import BUILD, EAGER
from tests.search.worker.test_fold_run import POINTS, assert_same
from tests.search.worker.test_kept_weights import needs_weights
from tests.search.worker.test_trainer import fold_job, trained

EPOCHS = 8
AT_ONCE = SaveRequest(0.0)


@pytest.fixture(autouse=True)
def look_after_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "LOOK_SECONDS", 0.0)


@pytest.fixture
def saving(tmp_path: Path) -> Saving:
    return Saving(tmp_path / "folds", "these images")


@pytest.fixture
def saved(context: WorkerContext, saving: Saving) -> WorkerContext:
    """What a worker needs that stores states."""
    return replace(context, saving=saving)


@pytest.fixture
def job(prepared: Prepared) -> FoldJob:
    return fold_job(prepared, max_epochs=EPOCHS)


def after(epochs: int) -> Callable[[], SaveRequest | None]:
    """What a worker is asked: to stop after so many epochs."""
    answers: list[SaveRequest | None] = [*[None] * (epochs - 1), AT_ONCE]
    return lambda: answers.pop(0) if answers else None


def cut_short(context: WorkerContext, job: FoldJob, epochs: int) -> None:
    """Train so many epochs, and have the state stored."""
    stopped = Worker(context, asked=after(epochs)).do(job)
    assert stopped == Failure(FailureCause.STOPPED, f"its state after epoch {epochs} is stored")


def went_on(context: WorkerContext, job: FoldJob) -> tuple[FoldResult, list[int]]:
    """The result, and the epochs that were trained for it."""
    epochs: list[int] = []
    result = trained(Worker(context, progress=lambda step: epochs.append(step.number)), job)
    return replace(result, seconds=0.0, latency=None), epochs


def undisturbed(worker: Worker, job: FoldJob) -> FoldResult:
    return replace(trained(worker, job), seconds=0.0, latency=None)


@pytest.mark.parametrize("changes", POINTS.values(), ids=POINTS)
def test_one_that_is_stopped_twice_ends_as_one_that_was_not(
    worker: Worker, saved: WorkerContext, saving: Saving, prepared: Prepared, changes: dict[str, Value]
) -> None:
    job = fold_job(prepared, prepared.space.changed(changes), max_epochs=EPOCHS, stop_collapsed=False)
    cut_short(saved, job, 3)
    stopped = Worker(saved, asked=after(2)).do(job)
    assert isinstance(stopped, Failure) and stopped.detail == "its state after epoch 5 is stored"
    assert len(saving.files(job)) == 2
    result, epochs = went_on(saved, job)
    assert epochs == [6, 7, 8]
    assert_same(result, undisturbed(worker, job))


def test_in_half_precision_the_scale_of_the_loss_goes_on_too(saved: WorkerContext, job: FoldJob) -> None:
    half = replace(saved, precision="mixed_float16")
    expected = undisturbed(Worker(replace(half, saving=None)), job)
    cut_short(half, job, 3)
    assert_same(went_on(half, job)[0], expected)


@needs_weights
@pytest.mark.slow
def test_a_pre_trained_network_of_which_the_upper_part_is_trained_goes_on(
    saved: WorkerContext, prepared: Prepared
) -> None:
    facts = Facts(8, 8, 1, 2, 27, (LITE0,))
    tuned = replace(saved, preset="fine-tune", facts=facts)
    params = FAMILIES["fine-tune"].space(facts).defaults(input_size=64, epochs=5, batch_size=8)
    job = fold_job(prepared, params, max_epochs=5)
    expected = undisturbed(Worker(replace(tuned, saving=None)), job)
    cut_short(tuned, job, 3)
    result, epochs = went_on(tuned, job)
    assert epochs[-2:] == [4, 5]
    assert_same(result, expected)


def test_the_seconds_that_were_spent_before_count(saved: WorkerContext, job: FoldJob) -> None:
    began = time.perf_counter()
    trained(Worker(saved), job)
    long = time.perf_counter() - began + 0.5

    def asked() -> SaveRequest:
        time.sleep(long)
        return AT_ONCE

    assert isinstance(Worker(saved, asked=asked).do(job), Failure)
    began = time.perf_counter()
    result = trained(Worker(saved), job)
    assert result.seconds > time.perf_counter() - began


def test_it_is_written_whenever_its_time_has_passed_and_two_files_are_kept(
    worker: Worker, saved: WorkerContext, saving: Saving, job: FoldJob
) -> None:
    """As one sees it who is killed: nothing is asked for. The caller removes the files once the result is stored."""
    often = replace(saved, saving=replace(saving, seconds=0.0))
    names: list[set[Path]] = []
    trained(Worker(often, progress=lambda _: names.append({*saving.files(job)})), job)
    assert [len(files) for files in names] == [0, 1, *[2] * (EPOCHS - 2)]
    result, epochs = went_on(saved, job)
    assert epochs == [EPOCHS]
    assert_same(result, undisturbed(worker, job))
    saving.forget(job)
    assert list(saving.folder.iterdir()) == []


def test_a_short_one_writes_nothing(saved: WorkerContext, saving: Saving, job: FoldJob) -> None:
    trained(Worker(saved), job)
    assert not saving.folder.exists()


def test_one_that_ends_in_time_is_not_stopped(saved: WorkerContext, saving: Saving, job: FoldJob) -> None:
    result = trained(Worker(saved, asked=lambda: SaveRequest(1000.0)), job)
    assert result.epochs == EPOCHS
    assert not saving.folder.exists()


def test_the_weights_of_the_best_epoch_come_back(
    worker: Worker, saved: WorkerContext, prepared: Prepared, tmp_path: Path
) -> None:
    params = prepared.space.defaults(schedule="constant", learning_rate=0.02)
    kept = replace(fold_job(prepared, params, max_epochs=30, patience=6), keep=tmp_path / "kept.npz")
    assert kept.keep is not None
    trained(worker, kept)
    with np.load(kept.keep) as arrays:
        expected = [arrays[name] for name in arrays.files]
    cut_short(saved, kept, 5)
    kept.keep.write_bytes(b"of an epoch that is done again")
    trained(Worker(saved), kept)
    with np.load(kept.keep) as arrays:
        for found, array in zip((arrays[name] for name in arrays.files), expected, strict=True):
            np.testing.assert_array_equal(found, array)


# What is not used


@pytest.mark.parametrize(
    "change",
    [
        lambda job, context: (replace(job, params={**job.params, "learning_rate": 0.02}), context),
        lambda job, context: (replace(job, train=job.train[:-1]), context),
        lambda job, context: (replace(job, training=replace(job.training, patience=3)), context),
        lambda job, context: (job, replace(context, saving=replace(context.saving, images="others"))),
        lambda job, context: (job, replace(context, metric="accuracy")),
        lambda job, context: (job, replace(context, seed=5)),
    ],
    ids=["another point", "other rows", "another patience", "other images", "another metric", "another study"],
)
def test_the_state_of_another_fold_run_is_removed(
    saved: WorkerContext, saving: Saving, job: FoldJob, change: Callable[..., tuple[FoldJob, WorkerContext]]
) -> None:
    cut_short(saved, job, 3)
    other, context = change(job, saved)
    _, epochs = went_on(context, other)
    assert epochs[0] == 1
    assert saving.files(job) == []


def test_that_of_another_version_is_removed(
    saved: WorkerContext, saving: Saving, job: FoldJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_short(saved, job, 3)
    monkeypatch.setattr(checkpoint, "_versions", lambda: {"keras": "2.0"})
    assert went_on(saved, job)[1][0] == 1
    assert saving.files(job) == []


def test_one_that_is_to_end_earlier_now_begins_again(worker: Worker, saved: WorkerContext, job: FoldJob) -> None:
    cut_short(saved, job, 5)
    behind = replace(job, training=replace(job.training, min_score_at={2: 1.1}))
    result, epochs = went_on(saved, behind)
    assert (epochs, result.behind) == ([1, 2], True)
    cut_short(saved, job, 5)
    ahead = replace(job, training=replace(job.training, min_score_at={2: 0.0}))
    result, epochs = went_on(saved, ahead)
    assert epochs == [6, 7, 8]
    assert_same(result, undisturbed(worker, job))


def damaged(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


def with_head(head: bytes, length: int | None = None) -> bytes:
    """A file with a right checksum."""
    body = (len(head) if length is None else length).to_bytes(8, "little") + head
    return hashlib.sha256(body).digest() + body


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch /tmp/marker-of-a-bomb",)


HOSTILE = {
    "damaged": damaged,
    "cut short": lambda content: content[:-1],
    "empty": lambda _: b"",
    "no head": lambda _: with_head(b""),
    "a head without end": lambda _: with_head(b"{}", 2**63),
    "a deep head": lambda _: with_head(b"[" * 100_000),
    "another head": lambda _: with_head(b'{"epochs": "many"}'),
    "a pickle": lambda _: pickle.dumps(Bomb()),
    "a pickle with a checksum": lambda _: with_head(pickle.dumps(Bomb())),
}


def test_a_file_that_is_not_whole_is_removed_and_the_one_before_is_used(
    worker: Worker, saved: WorkerContext, saving: Saving, job: FoldJob
) -> None:
    expected = undisturbed(worker, job)
    for name, change in HOSTILE.items():
        cut_short(saved, job, 3)
        assert isinstance(Worker(saved, asked=after(2)).do(job), Failure)
        newest = max(saving.files(job), key=lambda path: path.stat().st_mtime_ns)
        newest.write_bytes(change(newest.read_bytes()))
        result, epochs = went_on(saved, job)
        assert epochs == [4, 5, 6, 7, 8], name
        assert_same(result, expected)
        assert len(saving.files(job)) == 1, name
        saving.forget(job)
    assert not Path("/tmp/marker-of-a-bomb").exists()  # noqa: S108 - what the bomb would make


def too_large(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)  # without blocks on the disk


@pytest.mark.parametrize(
    "put", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir(), too_large]
)
def test_what_is_no_file_of_its_size_is_not_read(
    saved: WorkerContext, saving: Saving, job: FoldJob, put: Callable[[Path], object]
) -> None:
    cut_short(saved, job, 3)
    (path,) = saving.files(job)
    path.unlink()
    put(path)
    assert went_on(saved, job)[1][0] == 1


# Models of the user


def with_model(source: str, context: WorkerContext, folder: Path) -> WorkerContext:
    (folder / "net.py").write_text(source)
    return replace(context, model=named(f"{folder / 'net.py'}:build"))


def test_a_model_of_the_user_made_of_kerass_parts_goes_on(
    saved: WorkerContext, prepared: Prepared, tmp_path: Path
) -> None:
    job, mine = fold_job(prepared, {"rate": 0.01}, max_epochs=EPOCHS), with_model(BUILD, saved, tmp_path)
    expected = undisturbed(Worker(replace(mine, saving=None)), job)
    cut_short(mine, job, 3)
    result, epochs = went_on(mine, job)
    assert epochs == [4, 5, 6, 7, 8]
    assert_same(result, expected)


@pytest.mark.parametrize("source", [WATCHED.replace("DIARY", os.devnull), EAGER], ids=["callbacks", "eager"])
def test_one_whose_state_may_be_elsewhere_too_stores_none(
    saved: WorkerContext, saving: Saving, prepared: Prepared, tmp_path: Path, source: str
) -> None:
    job = fold_job(prepared, {"rate": 0.01}, max_epochs=2)
    trained(Worker(with_model(source, saved, tmp_path), asked=lambda: AT_ONCE), job)
    assert not saving.folder.exists()
