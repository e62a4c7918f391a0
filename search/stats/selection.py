"""Which trial is chosen, and whether an ensemble is better. Pure: from stored results alone.

The trial with the best score is also a lucky one. So the best few are trained again on new folds (`finalists`), and the
trial with the best expectation is chosen (`decide`), or a cheaper one if that is expected to lose almost nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from search.stats.contributions import class_weights
from search.stats.estimate import Estimate, at_least_wilson
from search.stats.evidence import Evidence, belief
from search.stats.latency import Timed, together
from search.stats.metrics import METRICS
from search.stats.paired import corrected_error
from search.stats.ranking import ranked
from storage.records import TrialRecord, TrialState

REPEATS = 2  # new divisions into folds, on which the finalists are trained again
FEW_IMAGES = 300  # with fewer images there are twice as many finalists, as scores are less precise
MAX_FINALISTS = {True: 10, False: 5}  # whether there are few images -> number
CONFIRMING = 0.25  # fold runs for confirming finalists, at most, as a share of those of the search
TIED = 0.10  # one-sided level of the test whether a trial is clearly worse than the best

MAX_MEMBERS = 5  # different trials in an ensemble: each costs time and memory in every prediction
_DRAWS = 12  # steps of the greedy selection, with repetition
CANDIDATES = 30  # the best trials on the images from which the ensemble is selected
ENSEMBLE_METRIC = "log_loss"  # members are selected by it, whatever the study's metric
_CLEARLY = 1.64  # standard errors: a one-sided test at 5 %
PROGRESSIVE = "progressive validation"  # method of an estimate
PRETRAINED = {"frozen", "fine-tune"}  # families that are known to be good before the first result
MARGIN = 0.03
"""Expected loss of a member of an ensemble against the best trial, at most, in units of accuracy: see `Metric.scale`.

Members are selected by log loss, which early stopping minimised on the same images: without a limit, worse networks
would be preferred for it.
"""
CHEAPER = 0.8  # times the cost of the best trial, at most: less is not worth a loss
PRICES = {"best": 0.003, "small": 0.01}
"""What the user prefers -> expected loss, in units of accuracy, up to which a cheaper trial replaces the best one."""

Labels = NDArray[np.integer]
Probabilities = NDArray[np.floating]


@dataclass(frozen=True)
class Member:
    """One model of the saved ensemble. The weights of all members add up to 1."""

    trial: int
    weight: float
    fold: int | None = None  # the fold without which it is trained; None: trained on all images


def complete(trials: Sequence[TrialRecord], metric: str) -> list[TrialRecord]:
    """Complete trials with a finite score, best first."""
    ended = (t for t in ranked(trials, metric) if t.state == TrialState.COMPLETE)
    return [t for t in ended if math.isfinite(t.score(metric) or 0.0)]


def finalists(
    trials: Sequence[TrialRecord], metric: str, folds: int, images: int, share: float = CONFIRMING
) -> list[int]:
    """Numbers of the trials to train again on new folds, best first; at least two, or none.

    At most 5, or 10 with fewer than 300 images, and with at most `share` times the fold runs of the search.
    """
    known = complete(trials, metric)
    runs = sum(len(trial.scores(metric)) for trial in trials)
    most = min(MAX_FINALISTS[images < FEW_IMAGES], share * runs / (REPEATS * folds))
    numbers = [trial.number for trial in known[: int(most)]]
    return numbers if len(numbers) > 1 else []


def ties(trials: Sequence[TrialRecord], metric: str, images: int, most: int | None = None) -> tuple[int, ...]:
    """Numbers of the complete trials that are not clearly worse than the leader; the leader first, then by score.

    `most`: of them; None: all.
    """
    known = complete(trials, metric)
    leader = _leader(known, metric)
    if leader is None:
        return ()
    found = (t.number for t in known if t is not leader and tied(leader, t, metric, images))
    return tuple(islice(chain([leader.number], found), most))


@dataclass(frozen=True)
class Wish:
    """What the user wants of the saved model, beside a good score."""

    price: float = PRICES["best"]  # expected loss, in units of accuracy, up to which a cheaper trial is taken
    milliseconds: float = math.inf  # the most that a prediction of an image may take


def quick_enough(evidence: Evidence, candidates: NDArray[np.bool_], wish: Wish) -> NDArray[np.bool_]:
    """[trials] the candidates [trials] that predict in the time that is wished; if none does, the quickest."""
    times = np.nan_to_num(evidence.milliseconds, nan=0.0)  # what was not measured is allowed
    return np.asarray(candidates & (times <= max(wish.milliseconds, times[candidates].min(initial=math.inf))))


def decide(
    evidence: Evidence, candidates: NDArray[np.bool_], wish: Wish = Wish(), *, alone: bool = False
) -> tuple[Member, ...]:
    """The members of the model to make, out of the `candidates` [trials]; empty without a candidate.

    The single trial with the best expectation, or the cheapest that is expected to lose at most the price to it; an
    ensemble instead if that is better on the images that all its members predicted, and quick enough. If no candidate
    is quick enough, the quickest is taken. `alone`: no ensemble.
    """
    eligible = np.flatnonzero(quick_enough(evidence, candidates, wish))
    if not len(eligible):
        return ()
    believed = belief(evidence)
    leader = int(eligible[np.argmax(believed.mean[eligible])])
    if not evidence.known.any():
        return (Member(evidence.numbers[leader], 1.0),)
    metric, affordable = METRICS[evidence.metric], CHEAPER * evidence.costs[leader]
    cheaper = [
        int(row)
        for row in eligible
        if believed.behind(int(row), leader) <= wish.price * metric.scale and evidence.costs[row] <= affordable
    ]
    single = min(cheaper, key=lambda row: (evidence.costs[row], -believed.mean[row], row), default=leader)
    inside = evidence.known[single][evidence.folds]  # images that it predicted
    margin = MARGIN * metric.scale if metric.maximized else math.inf
    others = [
        int(row)
        for row in eligible
        if (evidence.known[row] >= evidence.known[single]).all() and believed.behind(int(row), leader) <= margin
    ]
    if alone or len(others) < 2 or evidence.known[single].sum() < 2:
        return (Member(evidence.numbers[single], 1.0),)
    members = best_together(
        evidence.numbers[single],
        [evidence.numbers[row] for row in others],
        evidence.probabilities[others][:, inside],
        evidence.labels[inside],
        evidence.folds[inside],
        evidence.metric,
    )
    # An ensemble of one would be another trial, preferred by its log loss alone to what is expected and to its price.
    several = len(members) > 1 and _milliseconds(evidence, members) <= wish.milliseconds
    return members if several else (Member(evidence.numbers[single], 1.0),)


def _milliseconds(evidence: Evidence, members: Sequence[Member]) -> float:
    """What a prediction by all members takes for an image, as far as that was measured."""
    rows = [evidence.row(member.trial) for member in members]
    times = np.nan_to_num(evidence.milliseconds, nan=0.0)
    return together([Timed(float(times[row]), evidence.passes[row]) for row in rows])


def _leader(known: Sequence[TrialRecord], metric: str) -> TrialRecord | None:
    """The best mean over all folds among the trials with the most folds; if that is one trial, the best of all."""
    if not known:
        return None
    scores_of = {trial.number: _of_whole_repeats(trial, metric) for trial in known}
    most = max(map(len, scores_of.values()))
    compared = [trial for trial in known if len(scores_of[trial.number]) == most]
    if len(compared) < 2:
        return known[0]
    gain = METRICS[metric].gain
    return max(compared, key=lambda t: (gain(float(np.mean([*scores_of[t.number].values()]))), -t.number))


def _of_whole_repeats(trial: TrialRecord, metric: str) -> dict[tuple[int, int], float]:
    """Scores by (repeat, fold), without repeats that lack folds."""
    folds = sum(fold.repeat == 0 for fold in trial.folds)
    counts = Counter(fold.repeat for fold in trial.folds)
    return {(f.repeat, f.fold): f.scores[metric] for f in trial.folds if counts[f.repeat] == folds}


def tied(leader: TrialRecord, other: TrialRecord, metric: str, images: int) -> bool:
    """Whether `other` is not clearly worse than `leader`, by the folds that both have.

    Nadeau and Bengio's corrected test, see `corrected_error`. The standard error is at least `Metric.floor`.
    """
    mine, theirs = (_of_whole_repeats(trial, metric) for trial in (leader, other))
    shared = sorted(mine.keys() & theirs.keys())
    gaps = np.array([mine[key] - theirs[key] for key in shared])
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return False
    gap = METRICS[metric].gain(float(gaps.mean()))
    if gap <= 0 or len(gaps) == 1:
        return gap <= 0
    error = corrected_error(gaps, len({fold for _, fold in shared}))
    return gap < _quantile(len(gaps) - 1) * max(error, METRICS[metric].floor(gap, images))


@cache
def _quantile(freedom: int) -> float:
    """Of Student's distribution, for `tied`."""
    from scipy.special import stdtrit  # SciPy takes a while to import; most commands do not need it

    return float(stdtrit(freedom, 1 - TIED))


def greedy(probabilities: Probabilities, labels: Labels, metric: str) -> NDArray[np.float64]:
    """[trials] weights of an ensemble from out-of-fold `probabilities` [trials, images, classes].

    Caruana et al. (ICML 2004): each step adds the trial, possibly again, that lowers the log loss of the mean most,
    until none does. Log loss rather than the metric, as a few hundred images have too few different accuracies for
    small steps. Only the CANDIDATES best trials by the metric, on these images, take part.
    """
    picked, shares = _of_truth(probabilities, labels), _shares(labels, metric)
    measure = METRICS[metric]
    by_metric = np.array([-measure.gain(measure.of(labels, rows)) for rows in probabilities])
    candidates = np.lexsort((_log_loss(picked, shares), by_metric))[:CANDIDATES]
    counts, total = np.zeros(len(picked)), np.zeros(len(labels))
    lowest = math.inf
    for draw in range(1, _DRAWS + 1):
        full = np.count_nonzero(counts) >= MAX_MEMBERS
        addable = np.flatnonzero(counts) if full else candidates
        losses = _log_loss((total + picked[addable]) / draw, shares)
        if losses.min() >= lowest:
            break
        lowest, chosen = float(losses.min()), addable[int(np.argmin(losses))]
        counts[chosen] += 1
        total += picked[chosen]
    weights: NDArray[np.float64] = counts / counts.sum()
    return weights


def cross_fitted(probabilities: Probabilities, labels: Labels, folds: Labels, metric: str) -> NDArray[np.float64]:
    """[images, classes] predictions of ensembles, each selected without the images of the fold that it predicts.

    `folds` [images] is the fold of each image. So the selection of members is tested on images that it did not use.
    """
    out_of_fold = np.zeros(probabilities.shape[1:])
    for fold in np.unique(folds):
        inside = folds != fold
        weights = greedy(probabilities[:, inside], labels[inside], metric)
        out_of_fold[~inside] = np.tensordot(weights, probabilities[:, ~inside].astype(np.float64), axes=1)
    return out_of_fold


def best_together(
    chosen: int, numbers: Sequence[int], probabilities: Probabilities, labels: Labels, folds: Labels, metric: str
) -> tuple[Member, ...]:
    """The members of an ensemble if it is better than the trial `chosen`, else that trial alone.

    `probabilities` [trials, images, classes]: out of fold, of the trials `numbers`, which include `chosen`.
    `folds` [images]: the fold of each image.
    """
    single = probabilities[list(numbers).index(chosen)]
    if len(numbers) > 1 and better_together(cross_fitted(probabilities, labels, folds, metric), single, labels, metric):
        weights = greedy(probabilities, labels, metric)
        return tuple(Member(n, float(w)) for n, w in zip(numbers, weights, strict=True) if w)
    return (Member(chosen, 1.0),)


def better_together(
    ensemble: Probabilities, single: Probabilities, labels: Labels, metric: str, *, by: float = 1.0
) -> bool:
    """Whether an ensemble's cross-fitted predictions [images, classes] are better than a trial's out-of-fold ones.

    Their log loss must be lower than `by` times the trial's; log loss needs far fewer images than accuracy to tell two
    models apart. And by the metric, image by image, they must not be worse by 1.64 standard errors or more (for
    accuracy this is McNemar's test).
    """
    measure, weights = METRICS[metric], class_weights(labels)
    gains = measure.contributions(labels, ensemble, weights) - measure.contributions(labels, single, weights)
    kept = gains.sum() >= -_CLEARLY * measure.counted * math.sqrt(float(np.square(gains).sum()))
    shares = _shares(labels, metric)
    ours, theirs = (float(_log_loss(_of_truth(rows, labels), shares)) for rows in (ensemble, single))
    return bool(kept) and ours < by * theirs


def better_in_folds(probabilities: Probabilities, labels: Labels, folds: int, metric: str) -> bool:
    """Whether the mean of several models of one trial, each trained without a fold, is better than one on all images.

    `probabilities` [repeats, images, classes]: out of fold, for each repeat of a division into so many `folds`. Their
    mean is the largest ensemble that can be tested in this way. Each model was trained on fewer images than a model on
    all of them. So the mean must be better by what more images may gain: as if log loss fell like 1 / images.
    """
    return better_together(probabilities.mean(axis=0), probabilities[0], labels, metric, by=(folds - 1) / folds)


def _of_truth(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """[..., images] probabilities of the true classes, of [..., images, classes]."""
    return np.asarray(probabilities[..., np.arange(len(labels)), labels], np.float64)


def _shares(labels: Labels, metric: str) -> NDArray[np.float64]:
    """[images] the weights of images in the log loss: as in the metric, all classes count alike, or all images."""
    weights = class_weights(labels)[labels] if METRICS[metric].weighted else np.ones(len(labels))
    return np.asarray(weights / weights.sum())


def _log_loss(picked: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """[...] nats, of the true classes' probabilities [..., images]."""
    return np.asarray(-np.log(np.clip(picked, 1e-7, 1.0)) @ shares)


def expected_score(
    evidence: Evidence, candidates: NDArray[np.bool_], members: Sequence[tuple[int, float]], wish: Wish = Wish()
) -> Estimate | None:
    """The expected score on new images of what `decide` chose out of `candidates`; None if no image can tell.

    `members`: the (trial, weight) that were chosen. Images of folds that they all have are judged: each fold by what
    would have been chosen without it, less what early stopping makes the members look better. The score of the members
    themselves is `naive`.
    """
    predictions, gain = judged(evidence, candidates, members, wish)
    inside = ~np.isnan(predictions).any(axis=1)
    if not inside.any():
        return None
    labels, metric = evidence.labels[inside], evidence.metric
    rows = [evidence.row(number) for number, _ in members]
    weights = np.array([weight for _, weight in members])
    together = np.tensordot(weights / weights.sum(), evidence.probabilities[rows][:, inside].astype(np.float64), axes=1)
    too_good = METRICS[metric].gain(gain)
    value, low, high = (max(bound - too_good, 0.0) for bound in interval(predictions[inside], labels, metric))
    naive = METRICS[metric].of(labels, together)
    return Estimate(metric, value, low, high, naive, len(evidence.numbers), int(inside.sum()), method=PROGRESSIVE)


def judged(
    evidence: Evidence, candidates: NDArray[np.bool_], members: Sequence[tuple[int, float]], wish: Wish = Wish()
) -> tuple[NDArray[np.float64], float]:
    """([images, classes] predictions of choices that did not see the image, by how much they are too good).

    `members`: the (trial, weight) that were chosen. Images of folds that one of them lacks are NaN. What early stopping
    makes the members look better by is in units of the metric, larger being better.
    """
    rows = [evidence.row(number) for number, _ in members]
    weights = np.array([weight for _, weight in members])
    predictions = progressive(evidence, candidates, np.flatnonzero(evidence.known[rows].all(axis=0)), wish)
    return predictions, float(weights @ evidence.optimism[rows] / weights.sum())


def progressive(
    evidence: Evidence, candidates: NDArray[np.bool_], judged: NDArray[np.intp], wish: Wish = Wish()
) -> NDArray[np.float64]:
    """[images, classes] predictions for the folds `judged`, each by a choice that did not see the fold; else NaN.

    If trials were pruned, which of them have a later fold was decided by earlier ones. So a choice sees only earlier
    folds then: progressive validation (Blum, Kalai and Langford, COLT 1999). Before the first fold nothing is seen, and
    the first trial of the family that is usually best is taken; without a pre-trained network that would be unfair to
    the search, and the fold is left out. If no trial was pruned, a choice sees all other folds.
    """
    predictions = np.full(evidence.probabilities.shape[1:], np.nan)
    folds = np.arange(evidence.fold_count)
    for fold in judged:
        hidden = folds == fold if candidates.all() else folds >= fold
        has_fold = evidence.known[:, fold]
        first = hidden.all() and has_fold.sum() > 1
        if first and not PRETRAINED & {
            family for family, known in zip(evidence.families, has_fold, strict=True) if known
        }:
            continue
        images = evidence.folds == fold
        chosen = decide(evidence.without(hidden), has_fold, wish)
        of_members = [m.weight * evidence.probabilities[evidence.row(m.trial)][images] for m in chosen]
        predictions[images] = np.sum(of_members, axis=0)
    return predictions


def interval(probabilities: Probabilities, labels: Labels, metric: str) -> tuple[float, float, float]:
    """(value, low, high) of a metric on images that were not used to make the model: a 95 % interval.

    Bootstrap over the images of each class; for accuracies never narrower than Wilson's interval.
    """
    measure, rng = METRICS[metric], np.random.default_rng(20041104)
    of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    drawn = []
    for _ in range(measure.rounds):
        rows = np.concatenate([rng.choice(members, len(members)) for members in of_class])
        drawn.append(measure.of(labels[rows], probabilities[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = measure.of(labels, probabilities)
    return (value, *at_least_wilson(metric, value, float(low), float(high), labels))
