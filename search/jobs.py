"""Jobs for workers and their results: plain data, so that a worker can be a process or another machine."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.diagnosis.evidence import Diagnosis, Evidence
from search.diagnosis.experiments import Edit
from spaces.backbones import Backbone, lite
from spaces.custom.file import ModelFile
from spaces.facts import Facts
from spaces.layers import Layer
from spaces.parameters import Value

LOOK_SIDE = 32  # of a map of where a network looks, at most: finer ones are made smaller
STATE = ".state"  # what names of files with the state of a fold run end with
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
class Saving:
    """Where long fold runs write their state, from which another worker goes on: see `worker/checkpoint.py`."""

    folder: Path  # made at the first one
    images: str  # fingerprint of the study's images
    seconds: float = 60.0  # between two writes of a fold run; one that is shorter writes none

    def files(self, job: FoldJob) -> list[Path]:
        """The states that were written of a fold run, whatever else they belong to."""
        return sorted(self.folder.glob(f"{self.name(job)}-*{STATE}"))

    def forget(self, job: object) -> None:
        """Remove what was written of a job's fold runs: they are over."""
        for fold in folds_in(job):
            remove(self.files(fold))

    @staticmethod
    def name(job: FoldJob) -> str:
        """What the files of a fold run begin with. The seed tells trainings on all images from folds."""
        return f"{job.trial}-{job.repeat}-{job.fold}-{job.seed}"


@dataclass(frozen=True)
class WorkerContext:
    """What every job of a study needs. A worker gets it once."""

    pixels: Pixels | None  # None: no fold will be trained
    labels: NDArray[np.int16]  # [images]
    facts: Facts
    preset: str  # name of a preset, looked up in the worker: never code from a study file
    metric: str
    model: ModelFile | None = None  # the user's own builder, named on the command line, instead of the preset
    latency: bool = False  # whether to measure it in every fold run
    precision: str = "float32"  # the Keras dtype policy by which networks are trained
    xla: bool = False  # whether XLA compiles training, each epoch as one program where that is possible
    features: Path | None = None  # folder for frozen features, made when needed; None: they are kept in memory only
    seed: int = 0  # of the study
    saving: Saving | None = None  # None: a fold run that is cut short begins again
    threads: int = 1  # of a worker's TensorFlow
    memory: float = math.inf  # bytes that a worker may take


@dataclass(frozen=True)
class FitOptions:
    """How long a fold run lasts."""

    max_epochs: int = 40  # decided by the session, also from the point: a worker does not read `epochs` of a point
    patience: int = 8  # epochs without a smaller validation log loss before stopping; 0: never stop early
    min_delta: float = 0.001  # nats by which the validation log loss must fall to count
    use_last_epoch: bool = False  # whether all epochs are trained and the last one counts, ignoring validation
    lr_factors: tuple[float, ...] = ()  # of the learning rate under 'plateau', one per epoch; empty: from validation
    min_score_at: Mapping[int, float] = field(default_factory=dict)
    """Epoch -> value that the best validation metric so far must have reached by then; otherwise training stops."""
    stop_collapsed: bool = True  # whether a network that is stuck at chance is stopped; False: it is only diagnosed
    collect_evidence: bool = False  # whether the result includes evidence of each layer, also if nothing is wrong


@dataclass(frozen=True)
class DescribeJob:
    """Build the model of a point without allocating its weights, and describe it."""

    params: Mapping[str, Value]
    trial: int | None = None  # that the point is to become, for the one who watches; None: no trial


@dataclass(frozen=True)
class DiscoverJob:
    """Find the parameters of the user's own builder."""


@dataclass(frozen=True)
class Discovery:
    """The space of the user's own builder, as `Space.to_json` writes it."""

    space: Mapping[str, Any]
    whole: bool  # whether there was time to try every value of every parameter


@dataclass(frozen=True)
class Description:
    """A model before training."""

    parameters: int
    training_bytes: int  # estimate: weights, gradients, optimizer's moments, activations of one batch and back
    layers: tuple[Layer, ...]
    pretrained: int = 0  # of the parameters, those of a backbone, which come trained
    macs: float = 0.0  # multiplications to predict one image, or one view of it
    training_macs: float = 0.0  # to train on one image for one epoch; 0 for a head on features
    views: tuple[str, ...] = ()  # names of the views of all images whose features are computed first


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
    keep: Path | None = None  # .npz file to write the trained weights to; only networks on pixels of a preset have them


@dataclass(frozen=True)
class FoldResult:
    """How a fold run went. Scores and probabilities are those of the best epoch's weights.

    If the loss was not finite, the weights are lost, and they are those of a guess by class frequencies.
    """

    scores: Mapping[str, float]
    epochs: int
    best_epoch: int  # 1-based
    curve: Mapping[str, tuple[float, ...]]  # per epoch; validation with 'val_' before its name
    probabilities: NDArray[np.float32]  # [validation images, classes]
    parameters: int
    seconds: float
    latency: float | None = None  # milliseconds an image to predict; None where neither asked for nor seen by the way
    behind: bool = False  # stopped after `epochs` for not having reached what FitOptions.min_score_at asks for
    diagnosis: Diagnosis | None = None  # why it did not learn; None where it did
    notes: tuple[str, ...] = ()  # for the user, shown once per session; not stored
    evidence: Evidence | None = None  # only with FitOptions.collect_evidence; not stored


@dataclass(frozen=True)
class BundleJob:
    """Fold runs of one trial, to be trained side by side as one program.

    Each result is that of the fold run alone, within 1e-5.
    """

    folds: tuple[FoldJob, ...]


@dataclass(frozen=True)
class BundleResult:
    """Results of the job's first fold runs; each has its share of the seconds.

    Those of all, or up to one that ends its trial; of none where they have to be trained one by one.
    """

    folds: tuple[FoldResult, ...]


@dataclass(frozen=True)
class ReferenceJob:
    """Fit a reference, one of those in `worker/references.py`, and judge it on a fold. Pure: same job, same result."""

    name: str
    fold: int
    train: NDArray[np.int32]  # rows of the pixel array
    validate: NDArray[np.int32]  # rows of the pixel array, ascending
    seed: int
    part: NDArray[np.int32] | None = None  # rows of `train` that it is fitted on, ascending; None: all

    @property
    def method(self) -> str:
        """What is fitted: the name, without what follows an '@' where it is fitted on a part."""
        return self.name.partition("@")[0]


@dataclass(frozen=True)
class ReferenceResult:
    """How a reference did on a fold."""

    scores: Mapping[str, float]  # every metric
    probabilities: NDArray[np.float32]  # [validation images, classes]
    seconds: float


@dataclass(frozen=True)
class RefitJob:
    """Train the model of a point on all images of the study and save it. Pure, except for seconds."""

    fold: FoldJob  # no real fold: it validates on a few of its training images, and these scores are not used
    path: Path  # .keras file to write
    weights: Path | None = None  # that the fold run kept: then nothing is trained
    folds: NDArray[np.int16] | None = None  # of each row that is trained on; None: nothing is remembered of them
    probed: bool = False  # whether the features of the linear probe are at hand, by which any model can remember


@dataclass(frozen=True)
class ComposeJob:
    """Combine models saved by RefitJobs into one, the weighted mean of their probabilities, and evaluate it."""

    parts: tuple[tuple[Path, float], ...]  # (file, weight)
    path: Path  # .keras file to write
    about: Mapping[str, Any]  # written into the file as JSON: what its user needs, such as names of classes
    rows: NDArray[np.int32]  # rows of the pixel array to predict; may be empty


@dataclass(frozen=True)
class SavedModel:
    """A model was saved. `probabilities`: [rows, classes], predictions of a combined model for the job's rows."""

    seconds: float
    probabilities: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Step:
    """How far a worker has come with its job. It costs no more than a look at a clock: see `search.worker.__main__`."""

    what: str  # 'epoch' or 'features', of which a piece of images is one
    number: int  # of the one in hand, from 1
    of: int  # at most: training may end before
    before: float = 0.0  # seconds that earlier tries spent on the job, from whose state it goes on


@dataclass(frozen=True)
class SaveRequest:
    """To a worker, in the midst of a fold run: the search stops.

    A fold run that may take longer writes its state after the epoch in progress and ends, as stopped.
    """

    seconds: float  # that fold runs have to end


@dataclass(frozen=True)
class LookJob:
    """Find where a saved network looks in images for one class of each. See `worker/gradcam.py`."""

    path: Path  # .keras file of one network; not of an ensemble
    rows: NDArray[np.int32]  # rows of the pixel array
    classes: NDArray[np.int32]  # [rows]


@dataclass(frozen=True)
class Looked:
    """Where a network looks."""

    maps: NDArray[np.uint8] | None
    """[rows, height, width], sides of at most LOOK_SIDE: 255 where it looks most; all 0 for an image where that is not
    known. None for a network without such maps."""
    seconds: float


class FailureCause(StrEnum):
    """Why a job has no result: short and countable; values as stored with a failed trial."""

    OUT_OF_MEMORY = "out of memory"
    REFUSED = "refused"  # the point's fault: too large, or it cannot be trained
    MODEL = "model"  # the user's builder is at fault
    ERROR = "error"  # any other exception
    WORKER_DIED = "worker died"
    HUNG = "hung"  # the worker did nothing, or came no further, for too long
    TOO_LONG = "too long"  # a fold run took longer than the user allows
    STOPPED = "stopped"  # the search was stopped; not the fault of the job


@dataclass(frozen=True)
class Failure:
    """A job has no result."""

    cause: FailureCause
    detail: str  # a sentence for the user


Job: TypeAlias = DescribeJob | FoldJob | BundleJob | DiscoverJob | ReferenceJob | RefitJob | ComposeJob | LookJob
Outcome: TypeAlias = (
    Description | FoldResult | BundleResult | Discovery | ReferenceResult | SavedModel | Looked | Failure
)


def folds_in(job: object) -> tuple[FoldJob, ...]:
    """The fold runs that a job consists of; of other jobs than theirs none."""
    return job.folds if isinstance(job, BundleJob) else (job,) if isinstance(job, FoldJob) else ()


def remove(states: Iterable[Path]) -> None:
    """Remove files of fold runs. What cannot be removed, such as a folder of such a name, stays."""
    for path in states:
        with contextlib.suppress(OSError):
            path.unlink()


def possible(backbones: Sequence[Backbone] = ()) -> tuple[str, ...]:
    """Names of the references that can be computed here, cheapest first; `backbones` are those of the study."""
    return (MAJORITY, LOGISTIC, PROBE) if probed(backbones) else (MAJORITY, LOGISTIC)


def probed(backbones: Sequence[Backbone]) -> Backbone | None:
    """The backbone of the linear probe; None if there are no pre-trained weights.

    An installed package's if there is one, so that probes of different studies are comparable; else the study's first.
    """
    installed = (packaged for packaged in lite.PACKAGED if not packaged.problem())
    return next(installed, None) or next(iter(backbones), None)
