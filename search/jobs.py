"""What goes to a worker and what comes back: plain data, so that a worker may be a process or another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.diagnosis.evidence import Diagnosis, Evidence
from search.diagnosis.experiments import Edit
from spaces.backbones import Backbone, lite0
from spaces.custom.file import ModelFile
from spaces.facts import Facts
from spaces.layers import Layer
from spaces.parameters import Value

MAJORITY, LOGISTIC, PROBE = "majority", "logistic_regression", "linear_probe"


@dataclass(frozen=True)
class Pixels:
    """Where a worker finds a study's images: a file that all workers of a machine share."""

    path: Path  # .npy, uint8 [images, height, width, channels]

    def read(self) -> NDArray[np.uint8]:
        """The images, mapped into memory. Raises OSError where the file is gone."""
        pixels: NDArray[np.uint8] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return pixels


@dataclass(frozen=True)
class WorkerContext:
    """What every job of a study needs, given to a worker once."""

    pixels: Pixels | None  # None: no fold will be trained
    labels: NDArray[np.int16]  # [images]
    facts: Facts
    preset: str  # name of a preset, looked up in the worker: never code from a study file
    metric: str
    model: ModelFile | None = None  # the user's own builder, named on the command line, instead of the preset
    latency: bool = False  # whether to measure it in every fold run
    precision: str = "float32"  # the Keras dtype policy by which networks are trained
    xla: bool = False  # whether a step of training is compiled by XLA
    features: Path | None = None  # folder for frozen features, made at need; None: they are kept in memory alone


@dataclass(frozen=True)
class FitOptions:
    """How long a fold run lasts."""

    max_epochs: int = 40  # the session decides it, from the point too: a worker reads no `epochs` of a point
    patience: int = 8  # epochs without a smaller validation log loss before stopping; 0: never stop early
    min_delta: float = 0.001  # nats by which the validation log loss must fall to count
    use_last_epoch: bool = False  # whether all epochs are trained and the last one counts, whatever validation says
    lr_factors: tuple[float, ...] = ()  # of the learning rate under 'plateau', one an epoch; else validation is watched
    min_score_at: Mapping[int, float] = field(default_factory=dict)
    """Epoch -> what the metric on the validation part must have reached by then, at its best, to go on."""
    stop_collapsed: bool = True  # whether a network that is stuck at chance is stopped; False: it is only diagnosed
    collect_evidence: bool = False  # whether the result has a closer look at the network, also where nothing is wrong


@dataclass(frozen=True)
class DescribeJob:
    """Build the model of a point, without memory for its weights, and say what it is."""

    params: Mapping[str, Value]


@dataclass(frozen=True)
class DiscoverJob:
    """Find the parameters of the user's own builder."""


@dataclass(frozen=True)
class Discovery:
    """The space of the user's own builder, as `Space.to_json` writes it."""

    space: Mapping[str, Any]
    whole: bool  # whether there was time to look everywhere


@dataclass(frozen=True)
class Description:
    """A model before training."""

    parameters: int
    training_bytes: int  # estimate: weights, gradients, optimizer's moments, activations of one batch and back
    layers: tuple[Layer, ...]
    pretrained: int = 0  # of the parameters, those of a backbone, which come trained


@dataclass(frozen=True)
class FoldJob:
    """Train the model of a point on some images and judge it on others.

    Pure: same job, same result, but for seconds and latency, which are the machine's.
    """

    trial: int
    repeat: int
    fold: int
    params: Mapping[str, Value]
    train: NDArray[np.int32]  # rows of the pixel array
    validate: NDArray[np.int32]  # rows of the pixel array, ascending
    seed: int
    training: FitOptions
    edit: Edit | None = None  # of the compiled model, for an experiment


@dataclass(frozen=True)
class FoldResult:
    """How a fold run went. Scores and probabilities are those of the best epoch's weights.

    Where the loss left the finite numbers they are those of a guess by the class shares: its weights are lost.
    """

    scores: Mapping[str, float]
    epochs: int
    best_epoch: int  # 1-based
    curve: Mapping[str, tuple[float, ...]]  # per epoch; validation with 'val_' before its name
    probabilities: NDArray[np.float32]  # [validation images, classes]
    parameters: int
    seconds: float
    latency: float | None = None  # milliseconds an image to predict; None where it was not asked for
    behind: bool = False  # stopped after `epochs` for not having reached what FitOptions.min_score_at asks for
    diagnosis: Diagnosis | None = None  # why it did not learn; None where it did
    notes: tuple[str, ...] = ()  # for a person, said once a session; not stored
    evidence: Evidence | None = None  # where FitOptions.collect_evidence asks for it; not stored


@dataclass(frozen=True)
class ReferenceJob:
    """Fit a reference, one of those in `worker/references.py`, and judge it on a fold. Pure: same job, same result."""

    name: str
    fold: int
    train: NDArray[np.int32]  # rows of the pixel array
    validate: NDArray[np.int32]  # rows of the pixel array, ascending
    seed: int


@dataclass(frozen=True)
class ReferenceResult:
    """How a reference did on a fold."""

    scores: Mapping[str, float]  # every metric
    probabilities: NDArray[np.float32]  # [validation images, classes]
    seconds: float


@dataclass(frozen=True)
class RefitJob:
    """Train the model of a point on all images of the study and save it, whole, for use. Pure, but for seconds."""

    fold: FoldJob  # of no fold: it validates on a few of its training images, whose scores nobody reads
    path: Path  # .keras file to write


@dataclass(frozen=True)
class ComposeJob:
    """Put models that RefitJobs saved together into one, the weighted mean of their probabilities, and ask it."""

    parts: tuple[tuple[Path, float], ...]  # (file, weight)
    path: Path  # .keras file to write
    about: Mapping[str, Any]  # goes into the file as JSON: what using it needs, such as names of classes
    rows: NDArray[np.int32]  # of the pixel array, to be asked about; may be none


@dataclass(frozen=True)
class SavedModel:
    """A model is in its file. `probabilities` [rows, classes] is what a composed one says of the rows asked about."""

    seconds: float
    probabilities: NDArray[np.float32] | None = None


class FailureCause(StrEnum):
    """Why a job has no result: short and countable; values as stored with a failed trial."""

    OUT_OF_MEMORY = "out of memory"
    REFUSED = "refused"  # the point's fault: too large, or it cannot be trained
    MODEL = "model"  # the user's builder is at fault
    ERROR = "error"  # any other exception
    WORKER_DIED = "worker died"
    STOPPED = "stopped"  # by whoever stopped the search; no fault of the job


@dataclass(frozen=True)
class Failure:
    """A job has no result."""

    cause: FailureCause
    detail: str  # a sentence for a person


Job: TypeAlias = DescribeJob | FoldJob | DiscoverJob | ReferenceJob | RefitJob | ComposeJob
Outcome: TypeAlias = Description | FoldResult | Discovery | ReferenceResult | SavedModel | Failure


def possible(backbones: Sequence[Backbone] = ()) -> tuple[str, ...]:
    """Names of the references that can be computed here, cheapest first; `backbones` are those of the study."""
    return (MAJORITY, LOGISTIC, PROBE) if probed(backbones) else (MAJORITY, LOGISTIC)


def probed(backbones: Sequence[Backbone]) -> Backbone | None:
    """The backbone of the linear probe; None where no weights are at hand.

    The package's wherever it is installed, so that probes of different studies compare; else the study's first.
    """
    return next(iter(backbones), None) if lite0.problem() else lite0.BACKBONE
