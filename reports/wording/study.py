"""The results of a study, in sentences: the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from reports.wording.board import is_fitted_at_once
from reports.wording.values import count, cut, duration, metric_words, number, params_words, shortened, visible
from search.diagnosis.evidence import BROKEN, BY_HEART, ONE_CLASS, STUCK, UNSURE
from search.results.backbones import BackboneRow
from search.results.failures import Cause
from search.results.summary import Chosen, ReferenceRow, StudySummary, TrialRow
from search.stats.estimate import Estimate, beats
from search.stats.metrics import METRICS
from search.stats.selection import ENSEMBLE_METRIC, PRICES, finalists
from search.text import quoted
from storage.records import OUT_OF_TIME, Origin, TrialRecord, TrialState

STATE_WORDS = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped early",
    TrialState.FAILED: "failed",
}

SYMPTOM_WORDS = {
    STUCK: "is stuck at chance",
    BROKEN: "diverged (its loss became NaN or infinite)",
    ONE_CLASS: "has images of one class only",
    UNSURE: "is no more certain than a guess about images that it was not trained on",
    BY_HEART: "memorized its training images and does not generalize",
}

BACKBONES = (
    "Each pre-trained network by its best complete trial that leaves it as it is. The time is that of one picture "
    "through the network as this trial shows it (2 x: mirrored too), many pictures at once, beside the other work of "
    "the search. `search backbones` measures one pass of 128 x 128 pixels with nothing else running: its times differ."
)

TIED = (
    "about as good as the best: compared fold by fold, the difference may be luck (Nadeau and Bengio's test, 10 %), so "
    "a trial with a lower mean may have it where one with a higher mean does not"
)
"""What = before a trial's number means."""

UNFINISHED = "unfinished"  # an open trial while no process holds the study

ORIGIN_WORDS = {
    Origin.BASELINE: "your starting point",
    Origin.START: "known-good point",
    Origin.TRY: "your point",
    Origin.SMALLER: "half the batch, after one that needed too much memory",
    Origin.EXPLAIN: "between two trials",
}
"""Where a point comes from, if no sampler proposed it."""


def pixels(row: BackboneRow) -> str:
    """'128', or '2 x 128' if a trial shows its network the mirror image too."""
    return f"{row.passes} x {row.side}" if row.passes > 1 else str(row.side)


def score_words(row: TrialRow | ReferenceRow) -> str:
    """'0.864 ± 0.071', or the score alone with a single fold."""
    return number(row.score) + (f" ± {number(row.spread)}" if row.spread is not None else "")


def marked(data: StudySummary, row: TrialRow) -> str:
    """A trial's number, with * if it is on the Pareto front and with = if it is tied with the best."""
    tied = "=" if len(data.ties) > 1 and row.number in data.ties else ""
    return f"{tied}{'*' if row.pareto else ''}{row.number}"


def ties(data: StudySummary) -> str:
    """What the = means; empty if nothing is tied."""
    return f"= {TIED}." if len(data.ties) > 1 else ""


def front(data: StudySummary) -> str:
    """What the star means, for a study with two objectives."""
    other = "fewer weights" if data.second_objective == "parameters" else "less time per image"
    return f"* on the Pareto front: no other trial has a better {metric_words(data.metric)} and {other} at once."


def state_words(state: TrialState, *, searching: bool) -> str:
    """A trial's state; an open one is running only while a process holds the study."""
    return UNFINISHED if state == TrialState.RUNNING and not searching else STATE_WORDS[state]


def ended_words(ended: TrialRow | TrialRecord | Cause, *, searching: bool) -> str:
    """A trial's state; one whose time was over takes part in the choice by the folds that it has."""
    return ended.cause if ended.cause == OUT_OF_TIME else state_words(ended.state, searching=searching)


def changes_words(origin: Origin, changed: Mapping[str, object], joint: str = ", ") -> str:
    """What a trial changes from trial 0; before it, where the point comes from if no sampler proposed it."""
    if origin == Origin.BASELINE:
        return f"({ORIGIN_WORDS[origin]})"
    what = params_words(changed, joint) or "(nothing)"
    return what if origin == Origin.SAMPLER else f"({ORIGIN_WORDS[origin]}) {what}"


def headline(data: StudySummary) -> str:
    """The answer: the best trial, how certain its score is, and the score of trial 0."""
    best, base = data.best, data.baseline
    if best is None:
        return _nothing_yet(data)
    spread = f"± {number(best.spread, 2)} over" if best.spread is not None else "over"
    first = (
        f"Best: trial {best.number}, {number(best.score, 2)} {metric_words(data.metric)} "
        f"({spread} {count(len(best.fold_scores), 'fold')}; chance is {number(data.chance, 2)})"
    )
    if best.number == 0:
        others = data.compared - 1
        beaten = "no other trial" if others == 1 else f"none of the {others:,} other trials"
        rest = f"your starting point: {beaten} beats it" if others else "your starting point"
        return f"{first}, {rest}{_chance_words(data, best)}."
    if base is None:
        return f"{first}{_chance_words(data, best)}."
    return f"{first}{_chance_words(data, best)}; {_start(data, base)}."


def diagnosis(data: StudySummary) -> str:
    """Why trial 0 probably does not learn, and what to try; empty if it learns in most of its folds."""
    diagnosed = next((each for each in data.diagnoses if each.number == 0), None)
    if diagnosed is None or 2 * diagnosed.folds < diagnosed.trained:
        return ""
    where = "" if diagnosed.folds == diagnosed.trained else f", in {diagnosed.folds} of its {diagnosed.trained} folds"
    suspicion = next((s for s in diagnosed.evidence if s.startswith(f"{diagnosed.cause}: ")), diagnosed.cause)
    shows = SYMPTOM_WORDS.get(diagnosed.symptom, f"does not learn ({shortened(diagnosed.symptom, 40)})")
    return f"Trial 0 {shows}{where}: {cut(suspicion, 600)}. Try: {cut(diagnosed.change, 300)}."


def choice(data: StudySummary) -> str:
    """What was chosen and why, and its score on the testing images; empty if no model is saved."""
    chosen = data.chosen
    if chosen is None:
        return ""
    first = f"Chosen: trial {chosen.trial}{_why_it(data, chosen)}"
    if chosen.together:
        weights: dict[int, float] = {}
        for n, weight in chosen.members:
            weights[n] = weights.get(n, 0.0) + weight
        names = ", ".join(f"{n} ({100 * weight:.0f} %)" for n, weight in weights.items())
        also = f", and its {metric_words(data.metric)} is not clearly worse"
        measured = "" if data.metric == ENSEMBLE_METRIC else also
        first = (
            f"Chosen: an ensemble of trials {names}. Out of fold its log loss is lower than that of the best single "
            f"trial{measured}"
        )
    again = "In the study's folder, `search export --to FILE.keras` makes it anew."
    gone = " Its file is not in this folder." if chosen.missing else ""
    stale = gone if chosen.current else f"{gone} More has been searched since. {again}"
    if chosen.outdated:
        stale = (
            " Its file was made by an earlier release: in Keras, model(x) may answer wrongly, while model.predict(x) "
            f"does not. {again}"
        )
    return f"{first}. {_how_made(data, chosen)}{_unconfirmed(data, chosen)}{_tested(data, chosen)}{stale}"


def _why_it(data: StudySummary, chosen: Chosen) -> str:
    """Why this trial, in brackets; empty if there was no other, or if what is known now does not explain it."""
    alone = sum(bool(trial.folds) for trial in data.trials) == 1  # others were not trained, or failed
    if chosen.leader is None or alone or chosen.loss > _most_for_cheaper(data) or not chosen.current:
        return ""
    if chosen.leader == chosen.trial:
        return (
            " (it has the best expectation: its score, compared with the other trials image by image and shrunk "
            "towards what such trials are usually worth)"
        )
    return (
        f" (trial {chosen.leader} is expected to be better by {number(max(chosen.loss, 0.0), 3)} only, and this one "
        "costs less to use)"
    )


def _most_for_cheaper(data: StudySummary) -> float:
    """The largest expected loss, in the metric, for which a cheaper trial is chosen."""
    return max(PRICES.values()) * METRICS[data.metric].scale


def _how_made(data: StudySummary, chosen: Chosen) -> str:
    """How the saved model was trained, and on how many folds it was judged if not on all."""
    judged = ""
    if 0 < chosen.judged < data.folds:
        judged = f" It was judged on {chosen.judged} of {data.folds} folds: there was no time for more."
    if chosen.in_folds and any(fold.repeat for fold in data.trial(chosen.trial).folds):
        return (
            f"The mean of {len(chosen.members)} models was saved, each trained without one of its folds: on images "
            f"that they had not seen, models of different folds were better together than one alone.{judged}"
        )
    if chosen.left_out:
        which = "the networks of its finished folds were" if chosen.left_out > 1 else "the network of one fold was"
        return f"There was no time to train all of it on all images, so {which} saved.{judged}"
    return f"It was trained on all {data.searched_images:,} images and saved.{judged}"


def drawn(data: StudySummary) -> str:
    """Which model is drawn, at the beginning of a sentence: the saved one, before there is one the best so far."""
    if data.chosen is None:
        return f"Trial {data.best.number}, the best so far" if data.best else ""
    trials = sorted({number for number, _ in data.chosen.members})
    if len(trials) == 1:
        return f"Trial {data.chosen.trial}, which is saved"
    listed = ", ".join(map(str, trials))
    return f"Trial {data.chosen.trial}, which has the largest share in the saved ensemble of trials {listed}"


def _unconfirmed(data: StudySummary, chosen: Chosen) -> str:
    if data.compared < 2 or any(fold.repeat for fold in data.trial(chosen.trial).folds):
        return ""
    if any(fold.repeat for trial in data.trials for fold in trial.folds):
        return " It was not among the trials that were trained again on new folds."
    enough = finalists(data.trials, data.metric, data.folds, data.searched_images)
    why = "too little time was left" if enough else "too few trials were searched for that"
    return f" It was not trained again on new folds: {why}."


def _tested(data: StudySummary, chosen: Chosen) -> str:
    test = chosen.test
    if test is None:
        return ""
    value, low, high = (number(bound, 2) for bound in (test.value, test.low, test.high))
    blind = "" if test.times == 1 else f", which were used to test {test.times} choices,"
    which = f"the {count(data.testing_images, 'image')} kept apart for testing"
    if data.drawn:
        all_images = data.testing_images + data.searched_images
        which = f"the {data.testing_images:,} of {all_images:,} images that were locked away from the start"
    if test.images < data.testing_images:
        which = f"{test.images:,} of {which}, for which there was time,"
    return f" On {which}{blind} it scores {value} ({low} to {high} with 95 % confidence)."


def nested(data: StudySummary) -> str:
    """The result of nested cross-validation; empty without `--nested`, or if no outer fold is complete."""
    outer = data.nested
    if outer is None:
        return ""
    so_far = "" if outer.folds == outer.of else f" ({outer.folds} of {count(outer.of, 'outer fold')} so far)"
    value, low, high = (number(bound, 2) for bound in (outer.value, outer.low, outer.high))
    return (
        f"Nested cross-validation{so_far}: {value} ({low} to {high} with 95 % confidence). The whole search was "
        f"repeated {count(outer.folds, 'time')}, each time without the images of one fold, and its choice was tested "
        "on them."
    )


def _start(data: StudySummary, base: TrialRow) -> str:
    if base.cause == OUT_OF_TIME:
        return "trial 0, your starting point, ran out of time"
    if base.rank is None:
        cause = f" ({visible(base.cause)})" if base.cause else ""
        verb = _STATE_AS_VERB[base.state] if base.state != TrialState.RUNNING or data.searching else "is unfinished"
        return f"trial 0, your starting point, {verb}{cause}"
    reached = f"{number(base.score, 2)}{_chance_words(data, base)}{_folds_won(data, base)}"
    return f"trial 0, your starting point, {reached}"


_STATE_AS_VERB = {
    TrialState.RUNNING: "is still running",
    TrialState.COMPLETE: "has no usable score",
    TrialState.PRUNED: "was stopped early",
    TrialState.FAILED: "failed",
}


def _chance_words(data: StudySummary, row: TrialRow) -> str:
    if not data.near_chance(row) or row.score is None:
        return ""
    # 0.72 of 27 images may be luck, but "no better than chance" would be wrong.
    return ": no better than chance" if abs(row.score - data.chance) < 0.05 else ": not clearly better than chance"


def chance_outside(data: StudySummary) -> str:
    """Where chance lies, beside a drawing that does not reach so far; '' where there is none."""
    return f"Chance, {number(data.chance)}, is far outside of the drawing." if math.isfinite(data.chance) else ""


def _folds_won(data: StudySummary, base: TrialRow) -> str:
    if data.best is None or (won := data.folds_won(data.best, base)) is None:
        return ""
    tie = ": no real difference" if data.tied(data.best, base) else ""
    return f" (the best is ahead on {won} of {count(len(base.fold_scores), 'fold')}{tie})"


def _nothing_yet(data: StudySummary) -> str:
    total = len(data.rows)
    if not total:
        return "No trial has been run yet."
    failed = data.counts[TrialState.FAILED]
    if failed == total:
        often = data.causes[0]
        which = "The only trial failed" if total == 1 else f"All {total:,} trials failed"
        return f"{which}; most often: {visible(often.cause)} ({often.count:,})."
    if data.chosen:
        return f"No trial has all its folds ({counts_words(data)}); the saved model is judged by those that it has."
    return f"No trial is complete yet: {counts_words(data)}."


def references(data: StudySummary) -> str:
    """The scores of plain methods, and whether the best trial is better. The headline already has the majority."""
    rows = [row for row in reversed(data.references) if row.score is not None and row.name != "majority"]
    return " ".join(f"{_reaches(row)}{_against(data, row)}." for row in rows)


def _reaches(row: ReferenceRow) -> str:
    label = visible(row.label)
    return f"{label[:1].upper()}{label[1:]} reaches {number(row.score, 2)}"


def _against(data: StudySummary, row: ReferenceRow) -> str:
    best = data.best
    if best is None or best.score is None or row.score is None:
        return ""
    ahead = data.ahead(best.score, row.score)
    by = number(abs(ahead), 2)
    if not data.not_clearly_better(best, row.score):
        return f"; the best trial is better by {by}"
    if abs(ahead) < 0.005:
        return "; the best trial is no better"
    return f"; the best trial is worse by {by}" if ahead < 0 else f"; the best trial is not clearly better (by {by})"


def counts_words(data: StudySummary) -> str:
    """'9 complete, 1 stopped early, 1 out of time, 2 failed', without what no trial is."""
    order = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAILED)
    words = Counter(
        ended_words(row, searching=data.searching) for state in order for row in data.rows if row.state == state
    )
    return ", ".join(f"{number:,} {ended}" for ended, number in words.items()) or "none"


def images_words(data: StudySummary) -> str:
    """'110 images in 2 classes (+ 50 for testing)'."""
    kept = "locked away for testing" if data.drawn else "for testing"
    testing = f" (+ {data.testing_images:,} {kept})" if data.testing_images else ""
    classes = count(len(data.study.classes), "class", "classes")
    return f"{count(data.searched_images, 'image')} in {classes}{testing}"


def saved(data: StudySummary) -> str:
    """What the race saved; empty if it stopped no trial."""
    if not data.saved.trials:
        return ""
    stopped = count(data.saved.trials, "trial")
    spared = count(data.saved.folds, "fold run")
    were = "was" if data.saved.trials == 1 else "were"
    if data.study.config.get("training", {}).get("xla"):  # side by side with those that are stored, some were trained
        return f"{stopped} {were} stopped for falling behind."
    return f"{stopped} {were} stopped for falling behind, which spared {spared}, about {duration(data.saved.seconds)}."


def _guessing(data: StudySummary, estimate: Estimate) -> str:
    """A warning if guessing may reach the estimate; else empty."""
    if beats(estimate, data.chance):
        return ""
    return f"; guessing has {number(data.chance, 2)}, so it is not shown that the model has learned anything"


def too_good(data: StudySummary) -> str:
    """That pictures of the same things in training make the scores too good; empty unless that is clear."""
    if data.siblings is None or not data.siblings.compared.clear:
        return ""
    compared, (first, second) = data.siblings.compared, map(visible, data.siblings.example)
    points, low, high = (f"{100 * value:.0f}" for value in (compared.difference, compared.low, compared.high))
    known, new = (f"{100 * part.accuracy:.0f} % of {part.predictions:,}" for part in (compared.split, compared.whole))
    return (
        f"These numbers are too good. By their names, images such as {first} and {second} show one thing. Where a "
        f"model was trained on another picture of the thing, {known} predictions are right; where it was not, {new}. "
        f"Among things of one class and size that is {points} points less ({low} to {high} with 95 % confidence). "
        f"Of new things there is no other picture. Search "
        f"with --groups "
        f"{quoted(visible(data.siblings.pattern))}"
    )


def caution(data: StudySummary) -> str:
    """Why new images will not get the best score; empty if no trial is complete."""
    if data.best is None and data.estimate is None:
        return ""
    direction = "lower" if METRICS[data.metric].maximized else "higher"
    chosen, best = data.chosen, data.best
    another = chosen is not None and best is not None and (chosen.together or chosen.trial != best.number)
    if data.compared == 1 and not another:
        first = "Only one trial is complete, so no trial was selected yet."
        if data.best is not None and is_fitted_at_once(data, data.trial(data.best.number)):
            return first
        return (
            f"{first} If the images that give the score also ended the training (early stopping), expect new images "
            f"to score somewhat {direction}."
        )
    if data.estimate is None:
        return (
            f"This number is optimistic: it is the best of {data.compared:,} trials compared on the same images, "
            f"and the best of many is partly lucky. Expect new images to score {direction}."
        )
    estimate = data.estimate
    value, low, high = (number(bound, 2) for bound in (estimate.value, estimate.low, estimate.high))
    first = f"On new images expect about {value}"
    interval = f"({low} to {high} with 95 % confidence{_guessing(data, estimate)})"
    pooled, optimism = number(estimate.naive, 3), number(estimate.optimism, 3)
    # A number that is printed below the expected one must not be called optimistic.
    printed_above = data.ahead(round(estimate.naive, 3), round(estimate.value, 2)) > 0
    optimistic = round(estimate.optimism, 3) > 0 and printed_above
    if data.chosen and data.chosen.together:
        together = f" Put together on all of them it scores {pooled}, which is optimistic by {optimism}."
        how = _judged(data, estimate, "put together")
        return f"{first} of the ensemble {interval}: {how}.{together if optimistic else ''}"
    luck = (
        f" On the same images what was chosen has {pooled}, all its predictions taken together (the leaderboard has "
        f"the mean of folds). That is optimistic by {optimism}: the best of {_compared(data, estimate)} is partly luck."
        if optimistic
        else ""
    )
    return f"{first} {interval}: {_judged(data, estimate, 'chosen')}.{luck}"


def _compared(data: StudySummary, estimate: Estimate) -> str:
    """'14 trials', or '13 trials (of 14: …)' if some have nothing to compare."""
    trials = count(estimate.trials, "trial")
    if estimate.trials >= len(data.rows):
        return trials
    return f"{trials} (of {len(data.rows):,}: the others have no result, or learned nothing)"


def _judged(data: StudySummary, estimate: Estimate, made: str) -> str:
    """How an estimate was made, and on how many images if not on all: where trials race, the first folds judge none."""
    if estimate.images >= data.searched_images:
        return f"for each fold it was {made} anew without that fold, and judged on it"
    return (
        f"for each fold that could judge it was {made} anew without that fold, and judged on it: {estimate.images:,} "
        f"of the {count(data.searched_images, 'image')}"
    )
