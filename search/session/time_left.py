"""What the time of a study still allows: folds, trials, and training on all images at the end."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from search.executors.drive import Drive
from search.jobs import DescribeJob, Description, Outcome
from search.session.budget import (
    FIRST_FOLD,
    LONG,
    PACKING_SHARE,
    RESTARTING,
    SAVING,
    WITH_CARE,
    combining_seconds,
    ensemble_seconds,
    networks_of,
    packing_seconds,
    predicting_seconds,
)
from search.session.gradcam import kept_for_looks, look_seconds
from search.session.last_folds import last_folds
from search.session.plan import Plan
from search.session.prices import USEFUL_FOLDS, Prices, quickest, too_long
from search.session.session import Session
from search.session.testing import kept_for_testing
from search.session.trials import Trials
from search.session.weight_files import KEPT_TRIALS
from search.stats.evidence import candidates_of, may_be_chosen
from search.stats.outlook import AHEAD, little_gain
from search.stats.ranking import ranked
from search.stats.selection import decide
from search.study.evidence import outlook, stored_evidence
from storage import OUT_OF_TIME, TrialRecord, TrialState
from storage.records import Origin, Params

RESERVE_SECONDS = 5.0  # between two estimates of the time for finishing; in a short time
RESERVE_SHARE = 0.01  # of it, as then there are few trials
ESTIMATING_SHARE = 0.02  # of the time that these estimates may take: with many thousand trials each takes a second
OUTLOOK_SECONDS = 30.0  # between two estimates of what more search brings, and at most
OUTLOOK_SHARE = 20.0  # of the time one part of so many
CHOICE_SHARE = 20.0  # of the time that is left one part of so many: between two looks at what would be chosen now
MOMENT_SHARE = 0.01  # of the time: a fold run that takes no more is not worth leaving out
RECALLED = 8  # trials of each family by whose stored fold runs a new session knows what others will take


class TimeLeft:
    """The time of a session's study. Without a limit everything is allowed."""

    def __init__(self, plan: Plan, session: Session, for_references: Callable[[], float] = lambda: 0.0) -> None:
        """`plan.seconds` is the limit, for the study as a whole. `for_references`: seconds kept back for them."""
        self._plan, self._session, self._for_references = plan, session, for_references
        images = int((plan.assignment >= 0).sum())
        self._prices = Prices(images - images // plan.folds, images // plan.folds, session.executor.slots)
        self._reserved = 0.0  # seconds reserved for finishing
        self._reserve_again = self._outlook_again = session.clock()  # when to estimate them next
        self._outlook: float | None = None
        self._ensemble, self._ensemble_again = (0.0, 0.0), session.clock()  # see `_next_ensemble`; when to ask it again
        self._kept: set[int] = set()  # trials of which fold runs keep their weights

    @property
    def seconds(self) -> float:
        """Until the time for searching is over; infinite without a limit."""
        limit = self._plan.limit
        return float("inf") if limit is None else limit - self._reserved - self._session.spent

    def is_over(self, trials: Trials, unsure: Callable[[], bool] = lambda: False) -> bool:
        """Whether the time for searching is over.

        `unsure`: says whether a fold is running of which it is only guessed when it ends. If it does not end in time,
        its worker has to be started again for finishing. The first fold run of a study may be FIRST_FOLD late, and the
        others of its first trial where they take a moment: a score of one fold says little of what to expect.
        """
        if self._plan.seconds is None:
            return False
        now = self._session.clock()
        if now >= self._reserve_again:  # not after every trial: with thousands of them the estimate is slow
            reserve = self._plan.reserve(trials)
            self._reserved = reserve.confirming + reserve.grace + self.needed(trials) + self._for_references()
            pause = min(RESERVE_SECONDS, RESERVE_SHARE * self._plan.seconds)
            self._reserve_again = now + max(pause, (self._session.clock() - now) / ESTIMATING_SHARE)
        if self._may_be_late(trials):
            return False
        return self.seconds <= 0 or (self.seconds <= RESTARTING and unsure())

    def _may_be_late(self, trials: Trials) -> bool:
        """Whether no trial has all folds, and the next one is the study's first, or takes a moment; for FIRST_FOLD."""
        if any(len(trial.folds) >= self._plan.folds for trial in trials):
            return False
        if not any(trial.folds for trial in trials):
            return self.seconds > -FIRST_FOLD
        late = -self.seconds - self._reserved  # a moment does not wait for what is kept back
        return late < FIRST_FOLD and any(self._prices.fold(trial) <= self._moment for trial in trials.open)

    @property
    def _moment(self) -> float:
        """Seconds that do not count in the time of the study: at most those that its first fold run may be late."""
        return min(FIRST_FOLD, MOMENT_SHARE * (self._plan.seconds or 0.0))

    def eta(self, trials: Trials, folds_done: int) -> float | None:
        """Seconds until a budget is used up, from the pace of this session, in which `folds_done` fold runs ended."""
        plan, left = self._plan, []
        if plan.seconds is not None:
            left.append(max(0.0, self.seconds))
        if plan.trials is not None:
            if not folds_done:
                return None
            folds = trials.folds_left(plan.trials, plan.folds, racing=plan.race is not None)
            left.append(folds * self._session.seconds / folds_done)
        return min(left, default=None)

    def needed(self, trials: Trials) -> float:
        """Expected seconds for making the model; 0 without a limit or a finished fold.

        With the packing of the leading trial's networks or of the ensemble that would be chosen now, its prediction of
        testing images, what a slow or busy machine takes longer than `SAVING`, and seeing where the model looks if that
        takes hardly any of the time.
        """
        if self._plan.seconds is None:
            return 0.0
        metric = self._plan.metric
        leader = trials.best or next((t for t in ranked(trials, metric) if may_be_chosen(t, metric)), None)
        if leader is None:
            return 0.0
        kept = sum(path.is_file() for path in self._weights_of(leader))
        slowness = self._prices.slowness
        measured, assumed = leader.latency, slowness * self._prices.predicting(leader.number)
        alone, (networks, together) = assumed if measured is None else measured / 1000, self._next_ensemble(trials)
        each = WITH_CARE * max(alone * max(kept, 1), together)
        more = kept_for_testing(each, self._plan.testing, self._plan.seconds)
        more += packing_seconds(max(kept, networks, int(self._prices.has_backbone(leader.number))), slowness)
        more += combining_seconds(networks, slowness)
        more += max(slowness - 1.0, 0.0) * SAVING
        looking = max(slowness, 1.0) * look_seconds(self._prices.predicting(leader.number), max(kept, 1))
        more += kept_for_looks(looking, self._plan.seconds)
        return self._plan.reserve(trials).making + more

    def _next_ensemble(self, trials: Trials) -> tuple[float, float]:
        """(`networks_of`, seconds to predict an image) of what would be chosen now; (0, 0) for a single trial.

        So too if making it takes a larger share of the time than is kept back for that: a single trial is chosen then.
        """
        plan, now = self._plan, self._session.clock()
        if plan.seconds is None or now < self._ensemble_again:
            return self._ensemble
        known = [*trials]
        evidence = stored_evidence(self._session.store, known, confirmed=False, passes=plan.passes)
        members = decide(evidence, candidates_of(evidence, known), plan.wish) if evidence else ()
        self._ensemble = 0.0, 0.0
        if evidence is not None and len(members) > 1:
            networks = networks_of(evidence.passes[evidence.row(member.trial)] for member in members)
            if ensemble_seconds(networks, self.slowness) <= PACKING_SHARE * plan.seconds:
                self._ensemble = networks, predicting_seconds(evidence, members, self.slowness)
        self._ensemble_again = now + max(RESERVE_SHARE * plan.seconds, self.seconds / CHOICE_SHARE)
        return self._ensemble

    def gain_of_more(self, trials: Trials) -> float | None:
        """What another hour is expected to bring; None if unknown. Asked of the time left, any end would look flat."""
        now = self._session.clock()
        if now >= self._outlook_again:
            self._outlook = outlook(self._session.store, list(trials), AHEAD)
            self._outlook_again = now + max(OUTLOOK_SECONDS, self._session.seconds / OUTLOOK_SHARE)
        return self._outlook

    def is_flat(self, trials: Trials) -> bool:
        """Whether the user wants the search to end when more of it does not pay, and it does not."""
        gain = self.gain_of_more(trials) if self._plan.until_flat else None
        return gain is not None and gain < little_gain(self._plan.metric)

    # Prices

    @property
    def slowness(self) -> float:
        """Measured seconds by assumed ones, of all fold runs: above 1 on a slow or busy machine."""
        return self._prices.slowness

    def recall(self, trials: Trials, show: Callable[[], object]) -> None:
        """Learn from what earlier sessions stored: what fold runs took, and which of them kept their weights.

        The models of a few trials are described again, in workers. `show` is called while they are waited for.
        """
        if self._plan.seconds is None:
            return
        by_family: dict[str, list[TrialRecord]] = defaultdict(list)
        for trial in trials:
            if trial.folds or trial.state == TrialState.RUNNING or trial.cause == OUT_OF_TIME:
                by_family[_family(trial.params)].append(trial)
        known = sorted((t for of in by_family.values() for t in of[-RECALLED:]), key=lambda trial: trial.number)
        waiting, outcomes = deque(known), dict[int, Outcome]()
        drive: Drive[TrialRecord] = Drive(
            self._session.executor,
            lambda trial: DescribeJob(trial.params),
            lambda trial, outcome: outcomes.__setitem__(trial.number, outcome),
            show,
        )
        drive.run(lambda: waiting.popleft() if waiting else None, lambda: not self._session.stop.asked)
        for trial in known:
            if isinstance(description := outcomes.get(trial.number), Description):
                self.describe(trial.number, trial.params, description)
                self.begun(description)
                self._prices.recall(trial)
        self._kept = {t.number for t in trials if any(path.is_file() for path in self._weights_of(t))}

    def describe(self, number: int, params: Params, description: Description) -> None:
        """Note the network of a point before it becomes a trial."""
        epochs = self._plan.fit_options(params).max_epochs
        self._prices.describe(number, _family(params), description, epochs, trains=self._plan.trains(params))

    def too_long(self, number: int, origin: Origin, *, whole: bool = False) -> str | None:
        """Why there is no time for a described point; None if there is. The baseline is always begun.

        `whole`: for all of its folds; else USEFUL_FOLDS are enough.
        """
        if origin == Origin.BASELINE or self._plan.seconds is None:
            return None
        folds = self._plan.folds if whole else min(USEFUL_FOLDS, self._plan.folds)
        reserved = RESTARTING if self._prices.folds(number, 1) > RESTARTING else 0.0  # see `is_guessed`
        return too_long(self._prices, number, folds, self.seconds - reserved, self._session.executor.slots)

    def nothing_fits(self, trials: Trials) -> bool:
        """Whether there is no time for another trial even if it is as quick as the quickest so far."""
        least = quickest(trials, self._plan.folds, self._session.executor.slots)
        return self.seconds <= 0 or (least is not None and least > self.seconds)

    def begun(self, description: Description) -> None:
        """Note that a trial was begun: its features will be at hand for others."""
        self._prices.begun(description)

    def has_features(self, views: Iterable[str]) -> bool:
        """Whether the features of these views of all images were computed."""
        return self._prices.has_features(views)

    def trained(self, trial: TrialRecord, seconds: float) -> None:
        """Learn from a fold run of `trial`, given without it."""
        self._prices.note(trial, seconds)

    def has_fold(self, trial: TrialRecord) -> bool:
        """Whether the next fold run of a trial is expected to end in time. The baseline is always begun."""
        is_begun_anyway = trial.origin == Origin.BASELINE and not trial.folds
        return is_begun_anyway or self._prices.fold(trial) <= max(self.seconds, self._moment)

    def has_folds(self, trial: TrialRecord, folds: int) -> bool:
        """Whether so many fold runs of a trial are expected to end in time, side by side in one worker.

        The price of each is its share, where others of the trial were trained so.
        """
        return folds * self._prices.fold(trial) <= max(self.seconds, self._moment)

    def until_making(self, trials: Trials) -> float:
        """Seconds until references are computed and the model is made; infinite without a limit.

        Confirming trials is done before the model is made.
        """
        limit = self._plan.limit
        kept = self.needed(trials) + self._for_references()
        return float("inf") if limit is None else limit - self._session.spent - kept

    def last_folds(self, trials: Trials) -> tuple[int, ...]:
        """Numbers of the open trials whose missing folds come before any is confirmed; see `last_folds`."""
        known = [*trials]
        evidence = stored_evidence(self._session.store, known, confirmed=False)
        if evidence is None:
            return ()
        slots, folds = self._session.executor.slots, self._plan.folds
        seconds = {t.number: -(-(folds - len(t.folds)) // slots) * self._prices.fold(t) for t in trials.open}
        candidates = candidates_of(evidence, known)
        return last_folds(evidence, candidates, seconds, self._plan.wish)

    def has_last_fold(self, trial: TrialRecord, trials: Trials) -> bool:
        """Whether the next fold run of a trial is expected to end, also if it is slow, before the model is made."""
        return self._prices.fold(trial) * WITH_CARE <= self.until_last(trials, [trial])

    def until_last(self, trials: Trials, running: Sequence[TrialRecord]) -> float:
        """Seconds until last folds of these trials have to end: their workers are started again for the model.

        Not where all of them are short, as hardly one is ended then.
        """
        is_long = any(self._prices.fold(trial) > RESTARTING for trial in running)
        return self.until_making(trials) - (RESTARTING if is_long else 0.0)

    def is_guessed(self, trial: TrialRecord) -> bool:
        """Whether a fold run of a trial is a long one, and none before it tells how long."""
        return not trial.folds and self._prices.fold(trial) > RESTARTING

    # Kept weights

    def where_to_keep(self, trial: TrialRecord, fold: int) -> Path | None:
        """The file for the fold run's weights, if there will be no time to train its trial on all images."""
        seconds, weights = self._plan.seconds, self._plan.weights
        refit = self._prices.fold(trial) * self._plan.folds / (self._plan.folds - 1)
        if seconds is None or weights is None or refit <= LONG * seconds:
            return None
        self._kept.add(trial.number)
        return weights(trial, fold)

    def _weights_of(self, trial: TrialRecord) -> list[Path]:
        """Where the trial's fold runs keep their weights; heads on features keep none."""
        weights = self._plan.weights
        return [weights(trial, fold.fold) for fold in trial.folds if fold.repeat == 0] if weights else []

    def forget_weights(self, closed: TrialRecord, trials: Trials) -> None:
        """Remove kept weights that will not be used: of trials that cannot be chosen, or are not among the best."""
        if closed.number not in self._kept or closed.cause == OUT_OF_TIME:
            return
        complete = [trials[number] for number in self._kept if trials[number].state == TrialState.COMPLETE]
        useless = {trial.number for trial in ranked(complete, self._plan.metric)[KEPT_TRIALS:]}
        if closed.state != TrialState.COMPLETE:
            useless.add(closed.number)
        self._plan.forget(useless)
        self._kept -= useless


def _family(params: Params) -> str:
    return str(params.get("family", ""))


def out_of_time(done: int, folds: int) -> str:
    """What is stored of a trial that has `done` of so many folds when no time is left."""
    judged = f"after {done} of {folds} folds, by which it is judged" if done else "before its first fold was trained"
    return f"its time was over {judged}; more time goes on with it"
