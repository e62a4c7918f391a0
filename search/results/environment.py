"""What `search env` says of this machine and this installation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Extra:
    """An optional part of the installation."""

    name: str  # as in pyproject.toml
    purpose: str
    installed: bool


@dataclass(frozen=True)
class Environment:
    """This machine and this installation."""

    versions: Mapping[str, str]  # package -> version
    system: str
    cores: int  # that this process may use
    memory_bytes: int
    gpus: tuple[str, ...]  # visible to this process, as nvidia-smi and CUDA_VISIBLE_DEVICES name them
    seen_by_tensorflow: tuple[str, ...]  # names of devices
    gpu_advice: str  # what is missing for a GPU, and how to get it; empty if nothing is
    workers: int  # that a search has by default
    backbones: tuple[str, ...]  # at hand
    extras: tuple[Extra, ...]
