"""A search on a Ray cluster: several nodes on this machine, real ones, of which one is lost in the midst of a fold.

Needs Ray (`pip install ray`), and a minute or two: `python -m pytest -m slow tests/search/executors/test_ray.py`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.errors import UsageError
from search.executors.base import Cluster
from search.executors.factory import MIN_TO_REPLACE, open_executor
from search.executors.ray_cluster import RayCluster
from search.jobs import Failure, FailureCause, FoldResult, WorkerContext
from search.study.prepared import Prepared
from storage import TrialState
from tests.commands import fold_rows, reference_rows, search, start, table, trials_of, wait_until, workers_of
from tests.search.executors.test_contract import outcome
from tests.search.worker.test_trainer import fold_job

SMALL = ("--preset", "cnn", "--folds", "2", "--epochs", "2", "--quiet", "--trials", "5")

with_ray = pytest.mark.slow  # each starts several processes of Ray


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head without a slot, and two nodes of two cores, apart from each other as if they were two machines."""
    pytest.importorskip("ray", reason="needs the extra `cluster`")
    from ray.cluster_utils import Cluster as Nodes

    made: Any = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=2)
    yield made
    for node in made.list_all_nodes():  # not `shutdown`: it refuses the node to which this process was connected
        node.kill_all_processes(check_alive=False, allow_graceful=False)


def test_without_ray_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"needs Ray; install it with: pip install '.\[cluster\]'"):
        RayCluster(Cluster(), math.inf, MIN_TO_REPLACE)


@with_ray
def test_a_cluster_that_is_not_there_is_named(tmp_path: Path, pictures: Path) -> None:
    pytest.importorskip("ray")
    asked = ("--executor", "ray", "--address", "127.0.0.1:1", "--dir", "study")
    ended = search("run", pictures, *SMALL, *asked, cwd=tmp_path)
    assert ended.returncode == 2
    assert "there is no Ray cluster at 127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "study" / "study.db").exists()


@with_ray
def test_a_node_of_other_versions_is_refused(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.executors.ray_cluster.versions", lambda: {"keras": "9.9"})
    differ = pytest.raises(UsageError, match=r"has keras 3\.\S+, not 9\.9: results would differ")
    with differ, open_executor(None, None, Cluster(nodes.address)):
        pass


@with_ray
def test_a_dry_run_counts_the_slots_of_the_cluster(nodes: Any, pictures: Path, tmp_path: Path) -> None:
    asked = ("--executor", "ray", "--address", nodes.address, "--dry-run", "--json")
    for more, workers in (((), 4), (("--workers", "3"), 3)):
        planned = search("run", pictures, *SMALL, *asked, *more, cwd=tmp_path)
        assert planned.returncode == 0, planned.stderr
        assert json.loads(planned.stdout)["workers"] == workers


@with_ray
def test_with_one_slot_it_is_the_search_on_this_machine_row_for_row(nodes: Any, pictures: Path, tmp_path: Path) -> None:
    here = search("run", pictures, *SMALL, "--workers", "1", "--dir", "here", cwd=tmp_path)
    assert here.returncode == 0, here.stderr
    asked = ("--workers", "1", "--executor", "ray", "--address", nodes.address, "--dir", "there")
    there = search("run", pictures, *SMALL, *asked, cwd=tmp_path)
    assert there.returncode == 0, there.stderr
    assert table(trials_of(tmp_path / "there")) == table(trials_of(tmp_path / "here"))
    assert reference_rows(tmp_path / "there") == reference_rows(tmp_path / "here")
    assert (tmp_path / "there" / "models" / "choice.keras").is_file()


@with_ray
def test_a_search_survives_the_loss_of_a_node_and_uses_one_that_joins(
    nodes: Any, pictures: Path, tmp_path: Path
) -> None:
    lost = nodes.add_node(num_cpus=2)
    asked = ("--executor", "ray", "--address", nodes.address, "--dir", "study")
    process = start("run", pictures, *SMALL, *asked, cwd=tmp_path)
    wait_until(lambda: len(fold_rows(tmp_path / "study")) >= 2)
    nodes.remove_node(lost, allow_graceful=False)
    nodes.add_node(num_cpus=1)
    _, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    trials = trials_of(tmp_path / "study")
    assert len(trials) == 5
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert workers_of(tmp_path / "study") == []


@with_ray
def test_slots_come_and_go_with_nodes_and_a_job_that_is_lost_is_tried_once_more(
    nodes: Any, context: WorkerContext, prepared: Prepared, tmp_path: Path
) -> None:
    with open_executor(None, None, Cluster(nodes.address)) as executor:
        before = executor.slots
        executor.prepare(context, tmp_path)
        assert isinstance(outcome(executor.submit(fold_job(prepared, max_epochs=1))), FoldResult)
        more = nodes.add_node(num_cpus=1)
        wait_until(lambda: executor.slots == before + 1)
        jobs = [executor.submit(fold_job(prepared, seed=seed, max_epochs=1)) for seed in range(2 * executor.slots)]
        nodes.remove_node(more, allow_graceful=False)
        assert all(isinstance(outcome(job), FoldResult) for job in jobs)
        wait_until(lambda: executor.slots == before)
        assert executor.ready


@with_ray
def test_what_runs_when_it_is_closed_was_stopped(
    nodes: Any, context: WorkerContext, prepared: Prepared, tmp_path: Path
) -> None:
    with open_executor(None, None, Cluster(nodes.address, workers=1)) as executor:
        assert executor.slots == 1
        executor.prepare(context, tmp_path)
        running, waiting = (executor.submit(fold_job(prepared, max_epochs=10_000)) for _ in range(2))
        wait_until(lambda: bool(executor.doing))
        executor.close(kill=True)
        stopped = outcome(running)
        assert isinstance(stopped, Failure) and stopped.cause == FailureCause.STOPPED
        assert waiting.cancelled()
