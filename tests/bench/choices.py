"""Rules of choice and claims, replayed on stored studies whose truth is known: `python -m tests.bench.choices BANK...`.

The folders are those of `tests/bench/bank.py`. A rule gives the weights of a study's trials in the model that is saved,
from what the study stored. A claim is the expected score of that model. Neither sees the truth. Studies of shuffled
labels have no testing images; their truth is chance, so only claims are judged on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.results.expected import expected
from search.results.stored import StoredStudy
from search.stats.evidence import Evidence, belief, comparable, evidence_of, may_be_chosen
from search.stats.metrics import METRICS, scores
from search.stats.outlook import LEAST_TRIALS, gain_of_more
from search.stats.selection import PRICES, Member, Wish, complete, decide, greedy, interval, ties
from storage import ChoiceRecord, FoldRecord, ImageRecord, Split, StudyRecord, TrialRecord, TrialState
from storage.records import Origin
from tests.bench.bank import Banked

METRIC = "balanced_accuracy"

Weights: TypeAlias = NDArray[np.float64]  # [trials]; they add up to 1
Rule: TypeAlias = Callable[[Banked], Weights]
Interval: TypeAlias = tuple[float, float, float]  # value, low, high


# What rules are made of


def records(study: Banked) -> list[TrialRecord]:
    """The trials as in the study's database, without curves."""
    return [
        TrialRecord(
            int(number),
            {"family": str(study.families[place])},
            Origin.SAMPLER if number else Origin.BASELINE,
            TrialState(str(study.states[place])),
            cause=str(study.causes[place]) or None,
            parameters=int(study.parameters[place]) if study.parameters[place] >= 0 else None,
            finished=f"{study.order[place]:06}",
            folds=tuple(_folds(study, place)),
        )
        for place, number in enumerate(study.trials)
    ]


def _folds(study: Banked, place: int) -> Iterator[FoldRecord]:
    repeats = [(study.folds, study.oof[place]), *zip(study.folds_again, study.oof_again[:, place], strict=True)]
    for repeat, (folds, rows) in enumerate(repeats):
        for fold in np.unique(folds):
            of_fold = rows[folds == fold]
            if np.isfinite(of_fold).all():
                its_scores = scores(study.labels[folds == fold], of_fold, (METRIC,))
                seconds = float(study.seconds[place])
                yield FoldRecord(int(study.trials[place]), repeat, int(fold), 0, its_scores, 1, 1, {}, 0, seconds)


def alone(study: Banked, number: int) -> Weights:
    """The weights of one trial."""
    return np.asarray(study.trials == number, np.float64)


def places(study: Banked) -> list[int]:
    """The places of the complete trials, best first."""
    return [int(np.flatnonzero(study.trials == trial.number)[0]) for trial in complete(records(study), METRIC)]


# Rules


def best_score(study: Banked) -> Weights:
    """The complete trial with the best score."""
    return alone(study, complete(records(study), METRIC)[0].number)


def simplest_tie(study: Banked) -> Weights:
    """Of the trials that are tied with the best (Nadeau and Bengio): trial 0, else the one with the fewest weights."""
    group = set(ties(records(study), METRIC, len(study.labels)))
    tied = [trial for trial in records(study) if trial.number in group]
    return alone(study, min(tied, key=lambda t: (t.number != 0, t.parameters or np.inf, t.number)).number)


def trial_0(study: Banked) -> Weights:
    """No search."""
    return alone(study, 0)


def evidence(study: Banked) -> tuple[Evidence, NDArray[np.bool_]]:
    """What is known of the trials, and which may be chosen."""
    known = comparable(records(study), METRIC)
    predictions = []
    for trial in known:
        rows = study.oof[study.trials == trial.number][0]
        folds = {fold.fold for fold in trial.folds if fold.repeat == 0}
        predictions.append([{fold: rows[study.folds == fold] for fold in folds}])
    made = evidence_of(known, predictions, study.labels, [study.folds], record(study))
    return made, np.array([may_be_chosen(trial, METRIC) for trial in known])


def expected_worth(study: Banked) -> Weights:
    """The trial with the best expectation (empirical Bayes)."""
    made, candidates = evidence(study)
    return alone(study, made.numbers[int(np.argmax(np.where(candidates, belief(made).mean, -np.inf)))])


def _decided(study: Banked, wish: Wish) -> Weights:
    made, candidates = evidence(study)
    return _weights(study, decide(made, candidates, wish))


def _weights(study: Banked, members: Sequence[Member]) -> Weights:
    return np.asarray(sum(member.weight * alone(study, member.trial) for member in members))


def ensemble(study: Banked) -> Weights:
    """The greedy ensemble of all complete trials, untested."""
    pool, weights = places(study), np.zeros(len(study.trials))
    weights[pool] = greedy(study.oof[pool], study.labels, METRIC)
    return weights


RULES: dict[str, Rule] = {
    "trial 0": trial_0,
    "best score": best_score,
    "simplest tie": simplest_tie,
    "expected worth": expected_worth,
    "worth, cheap within 0.3, ensemble if better": lambda study: _decided(study, Wish()),
    "worth, cheap within 1.0, ensemble if better": lambda study: _decided(study, Wish(PRICES["small"])),
    "ensemble": ensemble,
    "what was shipped": lambda study: study.shipped,
}


# Claims


def reported(study: Banked, weights: Weights) -> Interval | None:
    """As the report of a study with this choice: `search.results.expected`."""
    found = expected(as_stored(study, weights))
    return (found.value, found.low, found.high) if found else None


def as_stored(study: Banked, weights: Weights) -> StoredStudy:
    """The records from which the report of this choice is made."""
    ranked = places(study)
    by_fold = {int(f): study.oof[ranked[0], study.folds == f] for f in np.unique(study.folds)}
    members = tuple((int(study.trials[place]), float(weights[place])) for place in np.flatnonzero(weights))
    pool = tuple(int(study.trials[place]) for place in ranked)
    return StoredStudy(
        study=record(study),
        images=tuple(ImageRecord(row, "", int(label), False, "") for row, label in enumerate(study.labels)),
        split=Split(0, study.folds),
        trials=tuple(records(study)),
        choices=(ChoiceRecord("", int(study.trials[weights.argmax()]), members, pool, 0, 0.0, None),),
        best=by_fold,
        evidence=evidence(study)[0],
    )


def record(study: Banked) -> StudyRecord:
    """The study's record, as far as it matters here."""
    return StudyRecord(str(study.name), "", 0, METRIC, tuple(map(str, study.classes)), (0, 0, 0), "", {}, {})


def own_score(study: Banked, weights: Weights) -> Interval | None:
    """The score of the choice out of fold, as if nothing had been chosen."""
    members = np.flatnonzero(weights)
    rows = np.tensordot(weights[members], study.oof[members].astype(np.float64), axes=1)
    known = np.isfinite(rows).all(axis=1)
    return interval(rows[known], study.labels[known], METRIC)


CLAIMS: dict[str, Callable[[Banked, Weights], Interval | None]] = {"reported": reported, "own score": own_score}


# The truth


def truth(study: Banked, weights: Weights) -> float:
    """The score of the choice on the testing images; chance without them; NaN if a member was not trained on all."""
    if not len(study.testing):
        return 1 / len(study.classes)
    members = np.flatnonzero(weights)
    rows = np.tensordot(weights[members], study.truth[members].astype(np.float64), axes=1)
    return METRICS[METRIC].of(study.testing, rows) if len(members) and np.isfinite(rows).all() else float("nan")


def best_single(study: Banked) -> float:
    """The score of the trial that is best on the testing images: no rule can know it."""
    return float(np.nanmax([truth(study, alone(study, number)) for number in study.trials]))


def scale(study: Banked, metric: str) -> float:
    """By how much trials differ in a metric that differ by 1 in accuracy, in truth: the slope over all trials."""
    known = np.isfinite(study.truth).all(axis=(1, 2))
    gained, other = (
        [METRICS[name].gain(METRICS[name].of(study.testing, rows)) for rows in study.truth[known]]
        for name in (METRIC, metric)
    )
    return float(np.polyfit(gained, other, 1)[0])


def outlooks(study: Banked) -> Iterator[tuple[float, float]]:
    """(What the rest of the search was expected to bring, what it brought in truth), from each trial on."""
    made, candidates = evidence(study)
    for first in range(LEAST_TRIALS, len(made.numbers)):
        so_far = np.arange(len(made.numbers)) < first
        predicted = gain_of_more(made.only(so_far), candidates[so_far], len(made.numbers) - first)
        before = _weights(study, decide(made.only(so_far), candidates[so_far]))
        brought = truth(study, _weights(study, decide(made, candidates))) - truth(study, before)
        if predicted is not None and np.isfinite(brought):
            yield predicted, brought


@dataclass(frozen=True)
class Replayed:
    """One study under all rules. Scores in percent."""

    name: str
    images: int  # in tens, as copies may have been left out
    shuffled: bool
    best: float
    truths: Mapping[str, float]  # by rule
    claims: Mapping[tuple[str, str], tuple[float, float, float] | None]  # by rule and claim

    @classmethod
    def of(cls, study: Banked) -> Replayed:
        """Every rule, and every claim about its choice."""
        chosen = {name: rule(study) for name, rule in RULES.items()}
        shown = {
            (rule, name): claim(study, weights) if weights.any() else None
            for (rule, weights), (name, claim) in product(chosen.items(), CLAIMS.items())
        }
        return cls(
            name=str(study.name),
            images=10 * round(len(study.labels) / 10),
            shuffled=not len(study.testing),
            best=100 * best_single(study),
            truths={name: 100 * truth(study, weights) for name, weights in chosen.items()},
            claims={key: None if found is None else _percent(found) for key, found in shown.items()},
        )


def _percent(found: Interval) -> Interval:
    value, low, high = found
    return 100 * value, 100 * low, 100 * high


# Tables


def of_rules(group: str, studies: Sequence[Replayed]) -> Iterator[str]:
    """Rows: accuracy, and what is gained against trial 0 and lost against the best trial in truth."""
    for rule in RULES:
        known = [each for each in studies if np.isfinite(each.truths[rule])]
        if not known:
            continue
        mean = np.mean([each.truths[rule] for each in known])
        gains = _differences([(each.truths[rule] - each.truths["trial 0"], each.name) for each in known])
        losses = _differences([(each.truths[rule] - each.best, each.name) for each in known])
        yield f"| {group} | {len(known)} | {rule} | {mean:.2f} | {gains} | {losses} |"


def _differences(pairs: Sequence[tuple[float, str]]) -> str:
    """'mean (standard error) | worst, its study'."""
    values = np.array([value for value, _ in pairs])
    error = f" ({values.std(ddof=1) / np.sqrt(len(values)):.2f})" if len(values) > 1 else ""
    worst, name = min(pairs)
    return f"{values.mean():+.2f}{error} | {worst:+.1f} {name}"


def of_claims(group: str, studies: Sequence[Replayed]) -> Iterator[str]:
    """Rows: by how much claims are above the truth, and how many intervals contain it."""
    for rule, claim in product(RULES, CLAIMS):
        known = [
            (each.truths[rule], found)
            for each in studies
            if (found := each.claims[rule, claim]) is not None and np.isfinite(each.truths[rule])
        ]
        if not known:
            continue
        off = np.array([found[0] - true for true, found in known])
        error = f" ({off.std(ddof=1) / np.sqrt(len(off)):.2f})" if len(off) > 1 else ""
        held = np.mean([found[1] <= true <= found[2] for true, found in known])
        above = np.mean([found[1] > true for true, found in known])
        width = np.mean([found[2] - found[1] for _, found in known])
        shown = f"{off.mean():+.2f}{error} | {np.abs(off).mean():.2f} | {held:.0%} | {above:.0%} | {width:.1f}"
        yield f"| {group} | {len(known)} | {rule} | {claim} | {shown} |"


def tables(studies: Sequence[Replayed]) -> Iterator[str]:
    """Lines of Markdown: by number of images, then all; studies of shuffled labels apart, and not for rules."""
    learnable, shuffled = ([each for each in studies if each.shuffled == kind] for kind in (False, True))
    groups = {**_by_images(learnable), "all": learnable}
    yield from _table("Rules", "accuracy | minus trial 0 | worst | minus best trial in truth | worst", of_rules, groups)
    groups |= {f"{images}, shuffled": members for images, members in _by_images(shuffled).items()}
    yield from _table(
        "Claims", "claim | minus truth | its size | truth inside | all above truth | width", of_claims, groups
    )


def _by_images(studies: Sequence[Replayed]) -> dict[str, list[Replayed]]:
    sizes = sorted({each.images for each in studies})
    return {str(images): [each for each in studies if each.images == images] for images in sizes}


def _table(
    title: str,
    columns: str,
    rows: Callable[[str, Sequence[Replayed]], Iterator[str]],
    groups: Mapping[str, Sequence[Replayed]],
) -> Iterator[str]:
    header = f"| images | studies | rule | {columns} |"
    yield from ("", f"## {title}", "", header, "|" + " --- |" * (header.count("|") - 1))
    for group, members in groups.items():
        yield from rows(group, members)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables, balanced accuracy in percent."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.choices", description=__doc__)
    parser.add_argument("banks", nargs="+", type=Path, metavar="BANK", help="a folder with files of tests.bench.bank")
    asked = parser.parse_args(arguments)
    files = [file for bank in asked.banks for file in sorted(bank.glob("*.npz")) if ".partial" not in file.name]
    studies = [Replayed.of(Banked.read(file)) for file in files]
    print(f"{len(studies)} studies; balanced accuracy in %, differences in points (standard error)")
    for line in tables(studies):
        print(line)
    with_truth = [study for file in files if len((study := Banked.read(file)).testing)]
    for metric in METRICS.keys() - {METRIC} if with_truth else ():
        each = ", ".join(f"{scale(study, metric):.1f}" for study in with_truth)
        print(f"\nA difference of 1 in {METRIC} goes with these in {metric}: {each}")
    pairs = [pair for study in with_truth for pair in outlooks(study)]
    if pairs:
        predicted, brought = 100 * np.array(pairs).T
        above = np.mean(brought > predicted)
        means = f"{predicted.mean():.2f} points expected, {brought.mean():.2f} brought"
        print(f"\nWhat more search brings, on average of {len(pairs)} times: {means}; more than expected {above:.0%}")


if __name__ == "__main__":
    main()
