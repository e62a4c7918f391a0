"""One fold run as an object, trained and judged epoch by epoch; its state can be saved and restored."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from search.diagnosis.evidence import Diagnosis
from search.diagnosis.rules import inspect_after
from search.jobs import FitOptions, FoldJob, FoldResult, Step
from search.stats.chance import majority
from search.stats.metrics import balanced_accuracy, better, scores
from search.worker.batches import Epoch, batches
from search.worker.inspection import Inspector, Start
from search.worker.trainer import Trained, Trainer, single_numbers
from spaces.recipe import plateau_factor

_WRITERS = (
    (keras.callbacks.ModelCheckpoint, "filepath"),
    (keras.callbacks.CSVLogger, "filename"),
    (keras.callbacks.TensorBoard, "log_dir"),
)
"""Callbacks that write files, and the attribute with the path."""


@dataclass
class Curve:
    """The values of every epoch, and which epoch is the best so far."""

    values: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    best_loss: float = float("inf")
    best_probabilities: NDArray[np.float32] | None = None

    def add(self, **row: float) -> None:
        """Append one epoch."""
        for name, value in row.items():
            self.values.setdefault(name, []).append(value)

    def below(self, least: float, metric: str) -> bool:
        """Whether no epoch's validation metric is as good as `least`."""
        return all(better(metric, least, value) for value in self.values[f"val_{metric}"])

    def improved(
        self, epoch: int, loss: float, min_delta: float, probabilities: NDArray[np.float32], *, always: bool = False
    ) -> bool:
        """Note a validation loss; True where it is smaller than the best by more than `min_delta`, or `always`."""
        if not always and self.best_probabilities is not None and loss >= self.best_loss - min_delta:
            return False
        self.best_epoch, self.best_loss, self.best_probabilities = epoch, loss, probabilities
        return True


@dataclass(frozen=True)
class FoldState:
    """The progress of a fold run, as plain data: everything that is not in its job."""

    epochs: int  # done
    finished: bool
    behind: bool
    curve: Curve
    diagnosis: Diagnosis | None
    base_rate: float  # the learning rate that schedules multiply
    order: Mapping[str, Any]  # state of the numpy generator that shuffles
    start: Start
    variables: tuple[NDArray[Any], ...]  # see `Trainer.state`
    seconds: float  # spent
    predicting: tuple[float, ...]  # milliseconds an image, of each epoch's validation


class FoldRun:
    """One fold run: `epoch` until `finished`, then `result`.

    Early stopping watches the validation log loss without penalties, and the scores are those of its best epoch; under
    a cosine all epochs are trained and the last one counts. Where the network is stuck at chance the result says why,
    and training ends (unless the job wants it all the same); it does where a loss is NaN.
    """

    def __init__(
        self,
        trainer: Trainer,
        job: FoldJob,
        started: float,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        at_best: Callable[[], object] = lambda: None,
    ) -> None:
        """Training begins; `started` is the `time.perf_counter` from which seconds count.

        The trainer is new, or has the state of a new one. Callbacks are called at the beginning and end of training and
        of epochs, not of batches. `at_best` is called after each epoch that is the best so far.
        """
        context, options = trainer.context, job.training
        self._trainer, self._job, self._started, self._callbacks = trainer, job, started, callbacks
        self._at_best = at_best
        self._truth = context.labels[job.validate]
        self._watched = ("log_loss", "balanced_accuracy", context.metric, *(["accuracy"] if callbacks else []))
        self._max_epochs = options.max_epochs
        self._last_counts = options.use_last_epoch or trainer.recipe.judged_at_the_end
        self._order = np.random.default_rng(job.seed)
        self._epochs, self._behind, self._seconds_before = 0, False, 0.0
        self._notes: tuple[str, ...] = _notes(callbacks)
        self._curve = Curve()
        self._predicting: list[float] = []  # milliseconds an image, of each epoch's validation
        self._diagnosis: Diagnosis | None = None
        self.finished = False
        trainer.weigh_classes(job.train)
        self._base_rate = trainer.learning_rate
        self._hooks = keras.callbacks.CallbackList(list(callbacks), model=trainer.model, epochs=self._max_epochs)
        trainer.model.stop_training = False
        self._hooks.on_train_begin()
        self.inspector = Inspector(trainer, job)

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return self._epochs

    @property
    def seconds_before(self) -> float:
        """Spent by the runs from whose state this one goes on."""
        return self._seconds_before

    @property
    def ends_trial(self) -> bool:
        """Whether it is over, and the other folds of its trial are not wanted any more."""
        stuck = self._diagnosis is not None and self._diagnosis.collapsed and self._job.training.stop_collapsed
        return self.finished and (self._behind or stuck)

    def epoch(self) -> None:
        """Train one epoch, judge it, and decide whether it is the last. Raises ValueError where there is no loss."""
        self.judge(self._trainer.epoch(self.next_epoch(), self._job.validate))

    def next_epoch(self) -> Epoch:
        """Begin an epoch: what it trains. `judge` ends it."""
        self._epochs += 1
        self._hooks.on_epoch_begin(self._epochs - 1)
        rows, ends = batches(self._order, self._job.train, self._trainer.recipe)
        if self._callbacks:  # they may have changed it
            self._base_rate = self._trainer.learning_rate
        return Epoch(self._epochs - 1, rows, ends, self._base_rate * self._rate_factors(len(ends)))

    def judge(self, trained: Trained) -> None:
        """Judge the epoch that was trained, and decide whether it is the last; raises as `epoch` does."""
        logs, probabilities, val_loss = trained.logs, trained.probabilities, trained.loss
        if trained.latency is not None:
            self._predicting.append(trained.latency)
        validation = scores(self._truth, probabilities, self._watched)
        if "loss" not in logs:
            kept = ", ".join(logs) or "none"
            raise ValueError(f"the model's train_step returns no metric named 'loss', only {kept}")
        loss = float(logs["loss"])
        if np.isfinite(loss) and np.isfinite(validation["log_loss"]):
            row = {"loss": loss, "val_loss": val_loss, **_training_scores(logs)}
            row |= {f"val_{name}": value for name, value in validation.items()}
            self._judge(row, probabilities, self._logs(logs, row))
        else:
            self._break_off(loss, probabilities.shape[1])
        if self.finished:
            self._hooks.on_train_end()

    def _rate_factors(self, steps: int) -> NDArray[np.float64]:
        """[steps] of this epoch: what the learning rate is multiplied by."""
        recipe, before = self._trainer.recipe, self._epochs - 1
        if recipe.schedule == "plateau":
            return np.full(steps, factor_on_plateau(self._job.training, self._epochs, self._curve.best_epoch))
        return np.array([recipe.rate(before * steps + step, self._max_epochs * steps) for step in range(steps)])

    def _logs(self, trained: Mapping[str, Any], row: Mapping[str, float]) -> dict[str, float]:
        """What callbacks are given at the end of an epoch: its numbers, and the metrics of the user's `compile`."""
        if not self._callbacks:
            return dict(row)
        validated = self._trainer.measured(self._job.validate)
        logs = {**single_numbers(trained), **{f"val_{name}": value for name, value in validated.items()}, **row}
        if self._epochs == 1:
            self._notes += tuple(
                f"the callback {type(callback).__name__} waits for '{callback.monitor}', which is not measured: add it "
                f"in compile(metrics=[...]), or monitor one of {', '.join(sorted(logs))}"
                for callback in self._callbacks
                if isinstance(getattr(callback, "monitor", None), str) and callback.monitor not in logs
            )
        return logs

    def _judge(self, row: dict[str, float], probabilities: NDArray[np.float32], logs: dict[str, float]) -> None:
        """Note an epoch's numbers, and whether training ends with it. Callbacks are called before that is decided."""
        options, epoch, curve = self._job.training, self._epochs, self._curve
        curve.add(**row)
        if curve.improved(epoch, row["val_log_loss"], options.min_delta, probabilities, always=self._last_counts):
            self._at_best()
        self._hooks.on_epoch_end(epoch - 1, logs)
        impatient = not self._last_counts and options.patience > 0 and epoch - curve.best_epoch >= options.patience
        ended = impatient or self._trainer.model.stop_training or epoch == self._max_epochs
        if inspect_after(epoch, ended=ended):
            self._diagnosis = self.inspector.inspect(epoch, curve.values, row["loss"], ended=ended)
        if self._diagnosis and self._diagnosis.collapsed and options.stop_collapsed:
            self.finished = True
            return
        wanted = options.min_score_at.get(epoch)
        self._behind = wanted is not None and curve.below(wanted, self._trainer.context.metric)
        self.finished = self._behind or ended

    def _break_off(self, loss: float, classes: int) -> None:
        """End where a loss is not finite: the weights are lost, and the result is a guess by the class shares."""
        self._diagnosis = self.inspector.inspect(self._epochs, self._curve.values, loss, broken=True, ended=True)
        guess = majority(self._trainer.context.labels[self._job.train], len(self._truth), classes)
        self._curve.improved(self._epochs - 1, np.inf, 0.0, guess, always=True)
        self.finished = True

    def result(self) -> FoldResult:
        """The result, after at least one epoch."""
        context, curve = self._trainer.context, self._curve
        assert curve.best_probabilities is not None  # noqa: S101 - there is at least one epoch
        return FoldResult(
            scores=scores(self._truth, curve.best_probabilities),
            epochs=len(curve.values.get("loss", ())),
            best_epoch=curve.best_epoch,
            curve={name: tuple(values) for name, values in curve.values.items()},
            probabilities=curve.best_probabilities,
            parameters=self._trainer.network.count_params(),
            seconds=time.perf_counter() - self._started,
            latency=self._trainer.latency(self._job.validate) if context.latency else self._seen_latency(),
            behind=self._behind,
            diagnosis=self._diagnosis,
            notes=self._notes,
            evidence=self.inspector.evidence() if self._job.training.collect_evidence else None,
        )

    def _seen_latency(self) -> float | None:
        """Milliseconds an image, from the validation passes; the first one also traced. None after a single epoch.

        Measured where no pass is seen, as in compiled epochs.
        """
        if not self._predicting:
            return self._trainer.latency(self._job.validate)
        if len(self._predicting) < 2:
            return None
        return self._trainer.inputs.latency + float(np.median(self._predicting[1:]))

    def state(self) -> FoldState:
        """All that `restore` needs to go on from here, between two epochs.

        Raises ValueError where there are callbacks: their state cannot be read.
        """
        if self._callbacks:
            raise ValueError("the state of a fold run with callbacks cannot be taken: their own state cannot be read")
        return FoldState(
            epochs=self._epochs,
            finished=self.finished,
            behind=self._behind,
            curve=copy.deepcopy(self._curve),
            diagnosis=self._diagnosis,
            base_rate=self._base_rate,
            order=self._order.bit_generator.state,
            start=self.inspector.start,
            variables=self._trainer.state(),
            seconds=time.perf_counter() - self._started,
            predicting=tuple(self._predicting),
        )

    def restore(self, state: FoldState) -> None:
        """Continue from the state of another run of the same job. This run has just begun.

        Raises ValueError where the state is that of a trainer of another point.
        """
        self._epochs, self.finished, self._behind = state.epochs, state.finished, state.behind
        self._curve, self._diagnosis, self._base_rate = copy.deepcopy(state.curve), state.diagnosis, state.base_rate
        self._order.bit_generator.state = dict(state.order)
        self.inspector.start = state.start
        self._trainer.restore(state.variables)
        self._seconds_before, self._started = state.seconds, time.perf_counter() - state.seconds
        self._predicting = list(state.predicting)


class Saver(Protocol):
    """Keeps the state of a fold run outside of its process, see `checkpoint.py`."""

    def go_on(self, run: FoldRun) -> None:
        """Bring a run that has just begun to the state that was kept, if there is one."""

    def after_epoch(self, run: FoldRun) -> None:
        """Called after each epoch but the last one."""


def train(
    trainer: Trainer,
    job: FoldJob,
    started: float,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    at_best: Callable[[], object] = lambda: None,
    *,
    progress: Callable[[Step], object] = lambda _: None,
    saver: Saver | None = None,
) -> FoldResult:
    """A whole fold run, see FoldRun. `progress` is called before each epoch. Raises what `saver` raises."""
    run = FoldRun(trainer, job, started, callbacks, at_best)
    if saver:
        saver.go_on(run)
    while not run.finished:
        progress(Step("epoch", run.epochs + 1, job.training.max_epochs, run.seconds_before))
        run.epoch()
        if saver and not run.finished:
            saver.after_epoch(run)
    return run.result()


def factor_on_plateau(options: FitOptions, epoch: int, best_epoch: int) -> float:
    """Of the learning rate in this epoch (1-based) under 'plateau': as the options list it, else by the best epoch."""
    if options.lr_factors:
        return options.lr_factors[min(epoch, len(options.lr_factors)) - 1]
    return plateau_factor(epoch - 1 - best_epoch)


def _training_scores(logs: Mapping[str, Any]) -> dict[str, float]:
    """Empty where a `train_step` of the user keeps other metrics only."""
    if "confusion" not in logs:
        return {}
    counts = logs["confusion"].numpy()
    return {
        "balanced_accuracy": balanced_accuracy(counts),
        "accuracy": float(counts.trace() / max(counts.sum(), 1)),
    }


def _notes(callbacks: Sequence[keras.callbacks.Callback]) -> tuple[str, ...]:
    """Notes on callbacks that expect to be called at batches, unless they are Keras's own, and that write files."""
    hooks = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    ignored = {
        type(callback).__name__
        for callback in callbacks
        if any(not str(getattr(callback, hook).__module__).startswith("keras.") for hook in hooks)
    }
    at_epochs = (
        f"the callback {name} is called at epochs only, not at batches: an epoch is one graph"
        for name in sorted(ignored)
    )
    files = (
        f"the callback {type(callback).__name__} writes to {getattr(callback, attribute)} in every fold run, so that "
        "holds what the last one wrote; the study keeps the curves and its model itself"
        for callback in callbacks
        for kind, attribute in _WRITERS
        if isinstance(callback, kind)
    )
    return (*at_epochs, *files)
