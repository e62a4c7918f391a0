"""A fold run that is cut short goes on from its stored state, as if nothing had happened; any other file is ignored."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from search.files import replacing
from search.jobs import Failure, FailureCause, FoldJob, FoldResult, SaveRequest, Saving, Step, WorkerContext
from search.study.prepared import Prepared
from search.worker import checkpoint
from search.worker.checkpoint import belonging
from search.worker.worker import Worker
from spaces import Value
from spaces.backbones.lite import LITE0
from spaces.custom.file import named
from spaces.facts import Facts
from spaces.presets import FAMILIES
from tests.search.worker.nets import BUILD
from tests.search.worker.test_callbacks import WATCHED
from tests.search.worker.test_custom_training import EAGER
from tests.search.worker.test_fold_run import POINTS, assert_same
from tests.search.worker.test_kept_weights import needs_weights
from tests.search.worker.test_trainer import fold_job, trained

EPOCHS = 8
AT_ONCE = SaveRequest(0.0)


@dataclass
class Storing:
    """A worker that stores states, what it is asked, and which epochs it trains."""

    context: WorkerContext
    ask: Callable[[], SaveRequest | None] = lambda: None
    steps: list[int] = field(default_factory=list)
    before: float = 0.0  # seconds, as the last step says

    def __post_init__(self) -> None:
        self.worker = Worker(self.context, self._note, self._asked)

    def _asked(self) -> SaveRequest | None:
        return self.ask()

    def _note(self, step: Step) -> None:
        self.steps.append(step.number)
        self.before = step.before

    @property
    def saving(self) -> Saving:
        assert self.context.saving is not None
        return self.context.saving

    def files(self, job: FoldJob) -> list[Path]:
        return self.saving.files(job)

    def cut_short(self, job: FoldJob, epochs: int) -> None:
        """Train until after this epoch, and have the state stored."""
        self.steps.clear()
        self.ask = lambda: AT_ONCE if self.steps[-1] == epochs else None
        stopped = self.worker.do(job)
        self.ask = lambda: None
        assert stopped == Failure(FailureCause.STOPPED, f"its state after epoch {epochs} is stored")

    def trained(self, job: FoldJob) -> tuple[FoldResult, list[int]]:
        """The result, and the epochs that were trained for it."""
        self.steps.clear()
        return replace(trained(self.worker, job), seconds=0.0, latency=None), list(self.steps)

    def undisturbed(self, job: FoldJob) -> FoldResult:
        """The result without a state, none of which is stored here."""
        self.saving.forget(job)
        result, epochs = self.trained(job)
        assert epochs[0] == 1
        return result


@pytest.fixture(scope="module")
def one(context: WorkerContext, tmp_path_factory: pytest.TempPathFactory) -> Storing:
    """For all tests: graphs are traced once."""
    return Storing(replace(context, saving=Saving(tmp_path_factory.mktemp("study") / "folds", "these images")))


@pytest.fixture
def storing(one: Storing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storing]:
    monkeypatch.setattr(checkpoint, "LOOK_SECONDS", 0.0)
    yield one
    for path in one.saving.folder.glob("*"):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


@pytest.fixture
def job(prepared: Prepared) -> FoldJob:
    return fold_job(prepared, max_epochs=EPOCHS)


@pytest.mark.first(1)
@pytest.mark.parametrize("changes", POINTS.values(), ids=POINTS)
def test_one_that_is_stopped_twice_ends_as_one_that_was_not(
    storing: Storing, prepared: Prepared, changes: dict[str, Value]
) -> None:
    job = fold_job(prepared, prepared.space.changed(changes), max_epochs=EPOCHS, stop_collapsed=False)
    expected = storing.undisturbed(job)
    storing.cut_short(job, 3)
    storing.cut_short(job, 5)
    assert len(storing.files(job)) == 2
    result, epochs = storing.trained(job)
    assert epochs == [6, 7, 8]
    assert_same(result, expected)


@pytest.mark.slow
def test_in_half_precision_the_scale_of_the_loss_goes_on_too(storing: Storing, job: FoldJob) -> None:
    half = Storing(replace(storing.context, precision="mixed_float16"))
    expected = half.undisturbed(job)
    half.cut_short(job, 3)
    assert_same(half.trained(job)[0], expected)


@needs_weights
@pytest.mark.slow
def test_a_pre_trained_network_of_which_the_upper_part_is_trained_goes_on(storing: Storing, prepared: Prepared) -> None:
    facts = Facts(8, 8, 1, 2, 27, (LITE0,))
    tuner = Storing(replace(storing.context, preset="fine-tune", facts=facts))
    params = FAMILIES["fine-tune"].space(facts).defaults(input_size=64, epochs=5, batch_size=8)
    job = fold_job(prepared, params, max_epochs=5)
    expected = tuner.undisturbed(job)
    tuner.cut_short(job, 3)
    result, epochs = tuner.trained(job)
    assert epochs[-2:] == [4, 5]
    assert_same(result, expected)


def test_the_seconds_that_were_spent_before_count(storing: Storing, job: FoldJob) -> None:
    began = time.perf_counter()
    storing.undisturbed(job)
    long = time.perf_counter() - began + 0.5

    def ask() -> SaveRequest:
        time.sleep(long)
        return AT_ONCE

    storing.ask = ask
    assert isinstance(storing.worker.do(job), Failure)
    storing.ask = lambda: None
    began = time.perf_counter()
    result = trained(storing.worker, job)
    assert result.seconds > time.perf_counter() - began
    assert storing.before > long, "the search is told, which has a limit for the whole fold run"


def test_it_is_written_whenever_its_time_has_passed_and_two_files_are_kept(
    storing: Storing, job: FoldJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one sees it who is killed: nothing is asked for. The caller removes the files once the result is stored."""
    expected, files = storing.undisturbed(job), list[int]()
    monkeypatch.setattr(storing, "ask", lambda: files.append(len(storing.files(job))))
    monkeypatch.setattr(storing.worker, "_context", replace(storing.context, saving=replace(storing.saving, seconds=0)))
    monkeypatch.setattr(checkpoint, "WRITES_APART", 0)
    storing.trained(job)
    assert files == [0, 1, *[2] * (EPOCHS - 3)]
    result, epochs = storing.trained(job)
    assert epochs == [EPOCHS]
    assert_same(result, expected)
    storing.saving.forget(job)
    assert list(storing.saving.folder.iterdir()) == []


def test_between_two_writes_at_least_twenty_times_the_last_one_passes(
    storing: Storing, job: FoldJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that says a second for a write, and ten for an epoch."""
    now, files, plain = 0, list[int](), replacing

    def ask() -> None:
        nonlocal now
        files.append(len(storing.files(job)))
        now += 10

    def written(path: Path) -> AbstractContextManager[Path]:
        nonlocal now
        now += 1
        return plain(path)

    monkeypatch.setattr(storing, "ask", ask)
    monkeypatch.setattr(checkpoint, "replacing", written)
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(storing.worker, "_context", replace(storing.context, saving=replace(storing.saving, seconds=0)))
    storing.trained(job)
    assert files == [0, 1, 1, 1, 2, 2, 2], "written after epochs 1, 4 and 7"


def test_a_short_one_and_one_that_ends_in_time_write_nothing(storing: Storing, job: FoldJob) -> None:
    storing.ask = lambda: SaveRequest(1000.0)
    storing.trained(job)
    storing.ask = lambda: None
    assert storing.files(job) == []


def test_the_weights_of_the_best_epoch_come_back(storing: Storing, prepared: Prepared, tmp_path: Path) -> None:
    params = prepared.space.defaults(schedule="constant", learning_rate=0.02)
    kept = replace(fold_job(prepared, params, max_epochs=30, patience=6), keep=tmp_path / "kept.npz")
    assert kept.keep is not None

    def weights() -> list[Any]:
        with np.load(tmp_path / "kept.npz") as arrays:
            return [arrays[name] for name in arrays.files]

    storing.undisturbed(kept)
    expected = weights()
    storing.cut_short(kept, 5)
    kept.keep.write_bytes(b"of an epoch that is done again")
    storing.trained(kept)
    for found, array in zip(weights(), expected, strict=True):
        np.testing.assert_array_equal(found, array)


# What is not used


@pytest.mark.parametrize(
    "change",
    [
        lambda job, context, saving: (replace(job, params={**job.params, "learning_rate": 0.02}), context, saving),
        lambda job, context, saving: (replace(job, train=job.train[:-1]), context, saving),
        lambda job, context, saving: (replace(job, training=replace(job.training, patience=3)), context, saving),
        lambda job, context, saving: (replace(job, seed=8), context, saving),
        lambda job, context, saving: (replace(job, trial=1), context, saving),
        lambda job, context, saving: (job, context, replace(saving, images="others")),
        lambda job, context, saving: (job, replace(context, metric="accuracy"), saving),
        lambda job, context, saving: (job, replace(context, seed=5), saving),
        lambda job, context, saving: (job, replace(context, precision="mixed_float16"), saving),
        lambda job, context, saving: (job, replace(context, preset="question"), saving),
    ],
)
def test_a_state_belongs_to_all_that_decides_the_result(
    storing: Storing, job: FoldJob, change: Callable[..., tuple[FoldJob, WorkerContext, Saving]]
) -> None:
    asked = (job, storing.context, storing.saving)
    assert belonging(*change(*asked)) != belonging(*asked)
    json.dumps(belonging(*asked))


def test_the_state_of_another_point_or_version_is_removed(
    storing: Storing, job: FoldJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing.cut_short(job, 3)
    assert storing.trained(replace(job, params={**job.params, "learning_rate": 0.02}))[1][0] == 1
    assert storing.files(job) == []
    storing.cut_short(job, 3)
    monkeypatch.setattr(checkpoint, "_versions", lambda: {"keras": "2.0"})
    assert storing.trained(job)[1][0] == 1
    assert storing.files(job) == []


def test_one_that_is_to_end_earlier_now_begins_again(storing: Storing, job: FoldJob) -> None:
    expected = storing.undisturbed(job)
    storing.cut_short(job, 5)
    behind = replace(job, training=replace(job.training, min_score_at={2: 1.1}))
    result, epochs = storing.trained(behind)
    assert (epochs, result.behind) == ([1, 2], True)
    storing.cut_short(job, 5)
    result, epochs = storing.trained(replace(job, training=replace(job.training, min_score_at={2: 0.0})))
    assert epochs == [6, 7, 8]
    assert_same(result, expected)


def with_head(head: bytes, length: int | None = None, rest: bytes = b"") -> bytes:
    """A file with a right checksum."""
    body = (len(head) if length is None else length).to_bytes(8, "little") + head + rest
    return hashlib.sha256(body).digest() + body


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch /tmp/marker-of-a-bomb",)


def with_order(content: bytes) -> bytes:
    """A file whose state of NumPy's generator has a number that is too large for it."""
    length = int.from_bytes(content[32:40], "little")
    head = json.loads(content[40 : 40 + length])
    head["order"]["state"]["state"] = 2**200
    return with_head(json.dumps(head).encode(), rest=content[40 + length :])


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "damaged": lambda content: content[:1000] + bytes([content[1000] ^ 1]) + content[1001:],
    "cut short": lambda content: content[:-1],
    "empty": lambda _: b"",
    "no head": lambda _: with_head(b""),
    "a head without end": lambda _: with_head(b"{}", 2**63),
    "a deep head": lambda _: with_head(b"[" * 100_000),
    "a generator that cannot be": with_order,
    "another head": lambda _: with_head(b'{"epochs": "many"}'),
    "a pickle": lambda _: pickle.dumps(Bomb()),
    "a pickle with a checksum": lambda _: with_head(pickle.dumps(Bomb())),
}


def test_a_file_that_is_not_whole_is_removed_and_the_one_before_is_used(storing: Storing, job: FoldJob) -> None:
    expected = storing.undisturbed(job)
    for name, change in HOSTILE.items():
        storing.cut_short(job, 3)
        storing.cut_short(job, 5)
        newest = max(storing.files(job), key=lambda path: path.stat().st_mtime_ns)
        newest.write_bytes(change(newest.read_bytes()))
        result, epochs = storing.trained(job)
        assert epochs == [4, 5, 6, 7, 8], name
        assert_same(result, expected)
        assert len(storing.files(job)) == 1, name
        storing.saving.forget(job)
    assert not Path("/tmp/marker-of-a-bomb").exists()  # noqa: S108 - what the bomb would make


def test_a_long_head_is_not_parsed_which_could_be_objects_of_a_gigabyte(
    storing: Storing, job: FoldJob, capfd: pytest.CaptureFixture[str]
) -> None:
    storing.cut_short(job, 3)
    (path,) = storing.files(job)
    path.write_bytes(with_head(b"[" + b"[]," * 400_000 + b"[]]"))
    assert storing.trained(job)[1][0] == 1
    assert f"{path.name} is not used: it is no file of this size" in capfd.readouterr().err


def too_large(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)  # without blocks on the disk


@pytest.mark.parametrize(
    "put", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir(), too_large]
)
def test_what_is_no_file_of_its_size_is_not_read(storing: Storing, job: FoldJob, put: Callable[[Path], object]) -> None:
    storing.cut_short(job, 3)
    (path,) = storing.files(job)
    path.unlink()
    put(path)
    assert storing.trained(job)[1][0] == 1


# Models of the user


def of_user(source: str, storing: Storing, folder: Path) -> Storing:
    (folder / "net.py").write_text(source)
    return Storing(replace(storing.context, model=named(f"{folder / 'net.py'}:build")))


def test_a_model_of_the_user_made_of_kerass_parts_goes_on(storing: Storing, prepared: Prepared, tmp_path: Path) -> None:
    job, own = fold_job(prepared, {"rate": 0.01}, max_epochs=EPOCHS), of_user(BUILD, storing, tmp_path)
    expected = own.undisturbed(job)
    own.cut_short(job, 3)
    result, epochs = own.trained(job)
    assert epochs == [4, 5, 6, 7, 8]
    assert_same(result, expected)


@pytest.mark.parametrize("source", [WATCHED.replace("DIARY", os.devnull), EAGER], ids=["callbacks", "eager"])
def test_one_whose_state_may_be_elsewhere_too_stores_none(
    storing: Storing, prepared: Prepared, tmp_path: Path, source: str
) -> None:
    own = of_user(source, storing, tmp_path)
    own.ask = lambda: AT_ONCE
    job = fold_job(prepared, {"rate": 0.01}, max_epochs=2)
    own.trained(job)
    assert own.files(job) == []
