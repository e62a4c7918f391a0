"""Which GPUs there are, what each worker sees of them, and how many workers that makes. No GPU is needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from search.commands.place import workers_asked
from search.errors import UsageError
from search.executors.devices import default_workers, listed, made_visible, pinned, visible_gpus

ONE, TWO = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
SLICE, OTHER = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"

PLAIN = f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {ONE})\nGPU 1: NVIDIA H100 80GB HBM3 (UUID: {TWO})\n"
DIVIDED = f"""GPU 0: NVIDIA A100-SXM4-40GB (UUID: {ONE})
  MIG 3g.20gb     Device  0: (UUID: {SLICE})
  MIG 3g.20gb     Device  1: (UUID: {OTHER})
GPU 1: NVIDIA A100-SXM4-40GB (UUID: {TWO})
"""


@pytest.mark.parametrize(
    ("value", "gpus"),
    [
        ("0", ("0",)),
        ("2, 5", ("2", "5")),
        ("", ()),
        ("-1", ()),
        ("0,2,-1,1", ("0", "2")),  # the example of CUDA's own documentation
        ("none", ()),
        ("1,1", ("1",)),
        (f"{ONE},GPU-8932f937", (ONE, "GPU-8932f937")),
        (SLICE, (SLICE,)),
        (f"MIG-{ONE}/1/2", (f"MIG-{ONE}/1/2",)),
    ],
)
def test_the_environment_names_gpus_as_cuda_reads_it(value: str, gpus: tuple[str, ...]) -> None:
    assert made_visible(value) == gpus


@pytest.mark.parametrize(
    ("said", "gpus"),
    [
        (PLAIN, (ONE, TWO)),
        (DIVIDED, (SLICE, OTHER, TWO)),
        ("", ()),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", ()),
        ("No devices found.\n", ()),
    ],
)
def test_nvidia_smi_lists_gpus_and_the_parts_of_those_that_are_divided(said: str, gpus: tuple[str, ...]) -> None:
    assert listed(said) == gpus


@pytest.mark.parametrize(
    ("workers", "gpus", "seen"),
    [
        (2, (), [None, None]),
        (2, ("0", "1"), ["0", "1"]),
        (4, ("0", "1"), ["0", "1", "0", "1"]),
        (3, ("0", "1"), ["0", "1", "0"]),
        (2, (ONE,), [ONE, ONE]),
        (1, (SLICE, TWO), [SLICE]),
    ],
)
def test_a_worker_sees_one_gpu_and_they_are_dealt_out_in_turn(
    workers: int, gpus: tuple[str, ...], seen: list[str | None]
) -> None:
    assert [pinned(worker, gpus).get("CUDA_VISIBLE_DEVICES") for worker in range(workers)] == seen


@pytest.mark.parametrize(
    ("workers", "per_gpu", "gpus", "count"),
    [
        (None, None, "0,1", None),
        (3, None, "0,1", 3),
        (0, None, "0,1", 0),
        (None, 1, "0,1", 2),
        (None, 3, "0,1", 6),
        (None, 2, ONE, 2),
    ],
)
def test_workers_are_as_many_as_were_asked_for_or_so_many_for_each_gpu(
    monkeypatch: pytest.MonkeyPatch, workers: int | None, per_gpu: int | None, gpus: str, count: int | None
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    assert workers_asked(workers, per_gpu) == count


@pytest.mark.parametrize(
    ("workers", "per_gpu", "gpus", "said"),
    [
        (2, 2, "0", "--workers and --workers-per-gpu both say how many workers there are; give one of them"),
        (None, 0, "0", "--workers-per-gpu: must be at least 1, got 0"),
        (None, 2, "-1", "--workers-per-gpu 2: no NVIDIA GPU is visible here"),
    ],
)
def test_what_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, workers: int | None, per_gpu: int | None, gpus: str, said: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    with pytest.raises(UsageError, match=said):
        workers_asked(workers, per_gpu)


def test_there_is_a_worker_for_each_gpu_and_without_one_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert default_workers() == (2, ("2", "5"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == ()
    assert default_workers()[0] >= 1


def test_without_the_variable_nvidia_smi_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$1" = -L ] && cat <<END\n{DIVIDED}END\n')
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert visible_gpus() == (SLICE, OTHER, TWO)
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert visible_gpus() == ()
