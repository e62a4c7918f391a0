"""Each tracker, read by its own reader: the numbers of `report --json`, once, also after a kill."""

from __future__ import annotations

import importlib
import json
import struct
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reports.as_json import as_json
from search.errors import UsageError
from search.results.summary import StudySummary
from search.study.folder import StudyFolder
from search.trackers.base import Tracker, write_new
from search.trackers.catalog import TRACKERS, check_trackers
from search.trackers.runs import STUDY, runs_of
from search.trackers.wandb import WandbTracker
from tests.search.trackers.places import a_place
from tests.studies import example


@dataclass(frozen=True)
class Read:
    """A run as the tracker's own reader gives it back."""

    numbers: Mapping[str, float]
    curves: Mapping[str, list[tuple[int, float]]]
    params: Mapping[str, str]
    files: frozenset[str] = frozenset()


def read_tensorboard(folder: StudyFolder) -> dict[str, Read]:
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))  # else the reader imports TensorFlow
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data
    from tensorboard.util.tensor_util import make_ndarray

    found = {}
    for run in (folder.path / "tensorboard").iterdir():
        events = EventAccumulator(str(run), size_guidance={"tensors": 0})
        events.Reload()
        tensors = {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}
        told = {tag: events_ for tag, events_ in tensors.items() if not tag.startswith("_hparams_")}
        scalars = {t: [(e.step, make_ndarray(e.tensor_proto)) for e in es] for t, es in told.items()}
        curves = {t: [(s, float(v)) for s, v in es] for t, es in scalars.items() if es[0][1].dtype.kind == "f"}
        texts = {t: es[0][1].item().decode() for t, es in scalars.items() if es[0][1].dtype.kind == "O"}
        start = events.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
        hparams = parse_session_start_info_plugin_data(start).hparams
        params = {name: str(getattr(value, value.WhichOneof("kind"))) for name, value in hparams.items()}
        numbers = {tag: curve[0][1] for tag, curve in curves.items() if curve[0][0] == 0}
        found[run.name] = Read(numbers, curves, params, frozenset(texts))
    return found


def read_mlflow(folder: StudyFolder) -> dict[str, Read]:
    from mlflow import MlflowClient

    client, found = MlflowClient(f"sqlite:///{folder.path.absolute() / 'mlflow.db'}"), {}
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    for run in client.search_runs([experiment.experiment_id]):
        number, keys = run.info.run_id, run.data.metrics
        curves = {k: sorted((m.step, m.value) for m in client.get_metric_history(number, k)) for k in keys}
        files = frozenset(file.path for file in client.list_artifacts(number))
        assert run.info.run_name not in found and run.info.status == "FINISHED"
        found[run.info.run_name] = Read(dict(run.data.metrics), curves, dict(run.data.params), files)
    return found


def read_wandb(folder: StudyFolder) -> dict[str, Read]:
    """From the log of each offline run, which `wandb sync` sends."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = {}
    for log in (folder.path / "wandb").glob("offline-run-*/*.wandb"):
        name, files = "", set[str]()
        numbers: dict[str, float] = {}
        params: dict[str, str] = {}
        curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for data in wandb_records(log.read_bytes()):
            record = Record.FromString(data)
            match record.WhichOneof("record_type"):
                case "run":
                    name = record.run.display_name
                    params |= {item.key: str(json.loads(item.value_json)) for item in record.run.config.update}
                case "history":
                    step = record.history.step.num
                    for item in record.history.item:
                        key = item.key or item.nested_key[0]
                        curves[key].append((step, json.loads(item.value_json)))
                case "summary":
                    keys = [(item.key or item.nested_key[0], item.value_json) for item in record.summary.update]
                    numbers |= {key: json.loads(value) for key, value in keys}
                case "files":
                    files |= {Path(item.path).name for item in record.files.files}
        assert name not in found
        state = {"state", "origin", "cause", "detail", "_wandb"}
        params = {key: value for key, value in params.items() if key not in state}
        found[name] = Read(numbers, curves, params, frozenset(files))
    return found


def wandb_records(log: bytes) -> Iterator[bytes]:
    """The records of a log in the format of LevelDB: blocks of 32 KiB, each piece with checksum, length and kind."""
    place, record = 7, b""  # after wandb's own head
    while place + 7 <= len(log):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", log, place + 4)
        record += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # whole, or the last piece
            yield record
            record = b""


READERS: dict[str, Callable[[StudyFolder], dict[str, Read]]] = {
    "tensorboard": read_tensorboard,
    "mlflow": read_mlflow,
    "wandb": read_wandb,
}


@pytest.fixture(params=[n if n == "tensorboard" else pytest.param(n, marks=pytest.mark.slow) for n in READERS])
def name(request: pytest.FixtureRequest) -> str:
    tracker = str(request.param)
    pytest.importorskip(TRACKERS[tracker].package, reason=f"needs the extra {tracker}")
    return tracker


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    for variable in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return a_place(tmp_path)


def a_few(**changes: Any) -> StudySummary:
    """The example with its first four trials: MLflow takes a tenth of a second for each."""
    records = example()
    return replace(records, trials=records.trials[:4]).data(**changes)


def opened(name: str, folder: StudyFolder, data: StudySummary) -> Tracker:
    return TRACKERS[name].open(folder, data.study)


def test_its_reader_shows_the_numbers_of_the_json_report(name: str, folder: StudyFolder) -> None:
    data = a_few()
    assert write_new(opened(name, folder, data), runs_of(data, folder)) == 5
    told: dict[str, Any] = json.loads(json.dumps(as_json(data)))
    found = READERS[name](folder)
    assert {*found} == {*(f"trial-{trial['number']:04d}" for trial in told["trials"]), STUDY}
    for trial in told["trials"]:
        run = found[f"trial-{trial['number']:04d}"]
        assert {*run.params} == {*trial["params"]}
        for key, value in trial["params"].items():
            assert str(run.params[key]) == str(value) or float(run.params[key]) == pytest.approx(float(value))
        for key, number in {"balanced_accuracy": trial["score"], "seconds": trial["seconds"]}.items():
            assert number is None or run.numbers[key] == pytest.approx(number, rel=1e-6), key
        scores = [score for score in trial["fold_scores"] if score is not None]
        assert [v for _, v in run.curves["fold_balanced_accuracy"]] == pytest.approx(scores, rel=1e-6)
        curve = data.trial(trial["number"]).folds[0].curve["val_loss"]
        epochs, losses = zip(*run.curves["fold-1/val_loss"], strict=True)
        assert epochs == tuple(range(1, len(curve) + 1)) and losses == pytest.approx(curve, rel=1e-6)
    best = told["best"]["score"]
    assert found[STUDY].numbers["best_balanced_accuracy"] == pytest.approx(best, rel=1e-6)
    assert found[STUDY].files >= ({"report", "choice"} if name == "tensorboard" else {"report.md", "choice.keras"})


def test_again_nothing_is_written_and_a_trial_that_went_on_is_there_once(name: str, folder: StudyFolder) -> None:
    data = a_few()
    write_new(opened(name, folder, data), runs_of(data, folder))
    assert write_new(opened(name, folder, data), runs_of(data, folder)) == 0
    changed = a_few(trials=tuple(replace(t, parameters=7) if t.number == 1 else t for t in data.trials))
    assert write_new(opened(name, folder, data), runs_of(changed, folder)) == 1
    found = READERS[name](folder)
    assert len(found) == 5 and found["trial-0001"].numbers["parameters"] == 7


def test_what_a_kill_left_half_written_is_replaced(name: str, folder: StudyFolder) -> None:
    data = a_few()
    tracker, (first, *rest) = opened(name, folder, data), runs_of(data, folder)
    kill_within(tracker, first)
    assert tracker.written() == {}
    assert write_new(opened(name, folder, data), [first, *rest]) == 5
    assert len(READERS[name](folder)) == 5


def test_what_was_written_offline_is_not_taken_for_written_in_another_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(mode: str) -> dict[str, str]:
        monkeypatch.setenv("WANDB_MODE", mode)
        return dict(WandbTracker(tmp_path, "pets", "s").written())

    (tmp_path / "wandb/logged-offline").mkdir(parents=True)
    (tmp_path / "wandb/logged-offline/trial-0001.abc").touch()
    assert (written("offline"), written("online")) == ({"trial-0001": "abc"}, {})


class Killed(BaseException):
    """Stands for a kill: nothing in the program catches it."""


def kill_within(tracker: Tracker, run: Any) -> None:
    """Write a run whose curves end in a kill."""

    class Curves(dict[str, Any]):
        def items(self) -> Any:
            yield "fold-1/loss", {1: 0.5}
            raise Killed

    broken = replace(run, curves=Curves())
    vars(broken)["digest"] = run.digest
    with pytest.raises(Killed):
        tracker.write(broken)


def test_nothing_is_written_through_a_link(name: str, folder: StudyFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for path in ("tensorboard", "mlflow.db", "wandb"):
        (folder.path / path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link"):
        opened(name, folder, example().data())
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_tensorflow_is_not_needed(tmp_path: Path) -> None:
    """It takes seconds and half a gigabyte; TensorBoard takes it where it finds it."""
    pytest.importorskip("tensorboard")
    from tests.test_imports import loaded_after

    code = (
        "from pathlib import Path\nfrom search.trackers.base import TrackedRun\n"
        "from search.trackers.tensorboard import TensorBoardTracker\n"
        "params, facts = {'rate': 0.1, 'norm': 'batch', 'deep': True}, {'state': 'complete'}\n"
        "run = TrackedRun('trial-0000', params, {'score': 0.5}, {'loss': {1: 1.0}}, facts)\n"
        "TensorBoardTracker(Path('logs')).write(run)"
    )
    assert "tensorflow" not in loaded_after(code, tmp_path)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_package_that_is_missing_is_named_with_its_extra(tracker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.trackers.catalog.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=rf"--log {tracker}: needs the package .*.\[{tracker}\]"):
        check_trackers([tracker], "--log")


def test_a_name_that_is_no_tracker_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="--log: must be tensorboard, mlflow, wandb, got 'neptune'"):
        check_trackers(["neptune"], "--log")


def test_the_names_of_the_command_line_are_those_of_the_catalog() -> None:
    options = importlib.import_module("search.commands.options")
    assert tuple(TRACKERS) == options.TRACKERS
