"""How good the model is, in sentences that need no statistics: the same in the terminal and on the page."""

from __future__ import annotations

from reports.wording.going_on import going_on
from reports.wording.study import caution, diagnosis, headline
from reports.wording.values import count, in_percent, metric_words, number, shortened, visible
from search.results.not_run import not_run
from search.results.standing import Standing, What, disagree, standings, too_early
from search.results.summary import Chosen, StudySummary, Tested
from search.stats.estimate import Estimate, beats
from search.stats.metrics import METRICS
from search.text import line_anywhere
from spaces.backbones import lite
from spaces.backbones.applications import ARCHITECTURES
from storage.records import TrialRecord

UNEVEN = 1.5  # the largest class has so many times the images of the smallest: then "right" needs a word


def score(data: StudySummary, value: float) -> str:
    """'89 %', or '0.31' for a metric that is no share. Rounded as where it is printed as 0.89."""
    return f"{100 * float(number(value, 2)):.0f} %" if in_percent(data.metric) else number(value, 2)


def between(data: StudySummary, low: float | None, high: float | None) -> str:
    """'84 to 93 %'; empty if there is no interval."""
    if low is None or high is None:
        return ""
    return f"{score(data, low).removesuffix(' %')} to {score(data, high)}"


def answer(data: StudySummary) -> str:
    """What to expect of the model on new images, beside guessing; before anything is known, how far the search is."""
    expected = data.estimate
    if expected is None:
        return f"{headline(data)} {caution(data)}".rstrip()
    if too_early(data):
        tested_on = f"{expected.images:,} of {data.searched_images:,} pictures"
        return f"Too early to say: what may become the model has been tested on {tested_on} so far. {headline(data)}"
    who = "the model that was saved" if data.chosen else "the best model so far"
    source: Estimate | Tested = _surer_test(data) or expected
    value, span = score(data, source.value), between(data, source.low, source.high)
    guess = score(data, data.chance)
    proof = f", as on {_part(data, source)} testing pictures" if isinstance(source, Tested) else ""
    if not in_percent(data.metric):
        sentence = (
            f"On new pictures like these, expect {_a(metric_words(data.metric))} of about {value} ({span}) from "
            f"{who}{proof}; guessing has {guess}."
        )
    else:
        sentence = (
            f"On new pictures like these, {who} is right about {value} of the time "
            f"({span}){_counted(data)}{proof}. Guessing is right {guess} of the time."
        )
    if not beats(expected, data.chance):
        return f"It is not shown that {who} is better than guessing. {sentence}"
    return sentence


def _part(data: StudySummary, test: Tested) -> str:
    """'the 59', or '300 of the 2,000' where there was no time for all testing pictures."""
    some = f"{test.images:,} of " if test.images < data.testing_images else ""
    return f"{some}the {data.testing_images:,}"


def _surer_test(data: StudySummary) -> Tested | None:
    """The score on testing images, if these say more than the estimate: a narrower interval, and not used before."""
    test = data.chosen.test if data.chosen else None
    if test is None or data.estimate is None or test.times > 1 or disagree(data):
        return None
    return test if test.high - test.low < data.estimate.high - data.estimate.low else None


def _a(words: str) -> str:
    return f"{'an' if words[:1] in 'aeiouA' else 'a'} {words}"


def _counted(data: StudySummary) -> str:
    """How "right" is counted where the classes differ in size."""
    sizes = [n for n in data.class_counts if n]
    if not METRICS[data.metric].weighted or not sizes or max(sizes) < UNEVEN * min(sizes):
        return ""
    return ", each class counted alike"


def tested(data: StudySummary) -> str:
    """The score on the testing images; empty without them."""
    test = data.chosen.test if data.chosen else None
    if test is None:
        return ""
    if _surer_test(data) is not None and (expected := data.estimate) is not None:
        value, span = score(data, expected.value), between(data, expected.low, expected.high)
        return f"From the pictures of the search alone, {value} ({span}) was to be expected."
    which = "locked away before the search" if data.drawn else "kept apart for testing"
    which = f"{_part(data, test)} picture{'s' * (data.testing_images != 1)} {which}"
    which += ", all that there was time for," if test.images < data.testing_images else ""
    value, span = score(data, test.value), between(data, test.low, test.high)
    got = f"it is right about {value} ({span})" if in_percent(data.metric) else f"it has {value} ({span})"
    again = "" if test.times == 1 else f" They have tested {test.times} choices, so this is no longer a fresh test."
    return f"On {which} {got}{_agreement(data)}.{again}"


def _agreement(data: StudySummary) -> str:
    test = data.chosen.test if data.chosen else None
    if data.estimate is None or test is None:
        return ""
    ahead = data.ahead(test.value, data.estimate.value)
    if disagree(data):
        much, luck = ("less", "bad luck") if ahead < 0 else ("more", "luck")
        if data.drawn:
            return (
                f": clearly {much} than expected, though they are of the same kind. That is {luck}, or pictures of one "
                "thing are in several parts"
            )
        return f": clearly {much} than expected, so these pictures are of another kind than those of the search"
    if abs(ahead) < 0.03 * METRICS[data.metric].scale:
        return ", as expected"
    return f": {'less' if ahead < 0 else 'more'} than expected, but the two can differ by so much by chance"


def compared(data: StudySummary) -> str:
    """The best plain method and trial 0 beside the model; empty if neither is known."""
    rows = standings(data)
    plain = next((row for row in rows if row.what == What.REFERENCE), None)
    start = next((row for row in rows if row.what == What.START), None)
    told = []
    if plain is not None:
        told.append(
            f"the best plain method, {visible(plain.name)}, gets {score(data, plain.value)}{_behind(data, plain)}"
        )
    if start is not None and not _is_trial_0(data):
        told.append(f"your starting point (trial 0) gets {score(data, start.value)}")
    if not told:
        return ""
    text = "; ".join(told)
    return f"{text[:1].upper()}{text[1:]}."


def missing(data: StudySummary) -> str:
    """What is not run yet, for want of time above all, and the command that does it; empty if nothing is missing."""
    left_out, curve = not_run(data), "whether more pictures would help is not measured yet"
    if left_out.plain:
        rest = f", and {curve}" if left_out.curve else ""
        what = f"No plain method was run yet to compare the model with{rest}"
    elif left_out.curve:
        what = f"{curve[:1].upper()}{curve[1:]}"
    else:
        return ""
    return f"{what}: `{missing_command(data)}`, in the study's folder, makes up for it."


def missing_command(data: StudySummary) -> str:
    """The command that makes up for what is not run yet."""
    return line_anywhere(*going_on(data))


def _behind(data: StudySummary, plain: Standing) -> str:
    if data.best is None:
        return ""
    if data.clearly_worse(data.best, plain.value):
        return ", clearly more than any trial"
    return ", and no trial is clearly better" if data.not_clearly_better(data.best, plain.value) else ""


def _is_trial_0(data: StudySummary) -> bool:
    if data.chosen is not None:
        return {number for number, _ in data.chosen.members} == {0}
    return data.best is not None and data.best.number == 0


def model(data: StudySummary) -> str:
    """What was saved, in one sentence; empty if nothing was."""
    chosen = data.chosen
    if chosen is None:
        return ""
    made = _made_of(data, chosen)
    if not chosen.current:
        made += " More has been searched since: `search export --to FILE.keras`, in the study's folder, makes it anew."
    return made


def _made_of(data: StudySummary, chosen: Chosen) -> str:
    shares: dict[int, float] = {}
    for trial, weight in chosen.members:
        shares[trial] = shares.get(trial, 0.0) + weight
    if len(shares) == 1:
        return f"The model is trial {chosen.trial}, {kind(data, data.trial(chosen.trial))}."
    by_share = sorted(shares.items(), key=lambda item: -item[1])
    parts = "; ".join(
        f"{100 * share:.0f} % trial {trial}, {kind(data, data.trial(trial))}" for trial, share in by_share
    )
    return f"The model is the mean of {len(shares)} trials: {parts}."


_KINDS = {
    "cnn": "a convolutional network trained from scratch",
    "question": "a small convolutional network trained from scratch",
    "frozen": "a classifier on the features of a pre-trained network",
    "fine-tune": "a pre-trained network, trained further on your pictures",
}


def kind(data: StudySummary, trial: TrialRecord) -> str:
    """What kind of model a trial is: 'a pre-trained network, trained further on your pictures (lite0, 128 pixels)'."""
    family = str(trial.params.get("family", data.preset))
    prefix = f"{family.replace('-', '_')}_" if "family" in trial.params else ""
    backbone, head, side = (trial.params.get(f"{prefix}{name}") for name in ("backbone", "head", "input_size"))
    details = [_title(str(backbone))] if backbone else []
    details += [shortened(str(head), 40)] if head and family == "frozen" else []
    details += [f"{side} pixels"] if side else []
    words = _KINDS.get(family, f"a model of {shortened(data.preset, 40)}")
    return f"{words} ({', '.join(details)})" if details else words


def _title(backbone: str) -> str:
    """The name of a pre-trained network for people; that of a network of the user's own as it is."""
    packaged = {one.name: one.title for one in lite.PACKAGED}
    known = ARCHITECTURES.get(backbone)
    return known.title if known else packaged.get(backbone, shortened(backbone, 40))


def label(row: Standing) -> str:
    """What a line of the picture is of."""
    if row.what == What.EXPECTED:
        return "expected on new pictures"
    if row.what == What.NESTED:
        return "whole search, nested"
    if row.what == What.TESTED:
        return f"{count(row.images, 'testing picture')}"
    if row.what == What.REFERENCE:
        return visible(row.name)
    return "your starting point (trial 0)" if row.what == What.START else "guessing"


def in_words(data: StudySummary, row: Standing) -> str:
    """'89 % (84 to 93 %)'."""
    span = between(data, row.low, row.high)
    return score(data, row.value) + (f" ({span})" if span else "")


SENTENCES = (answer, tested, compared, missing, model)
"""What the report says first, in order; each may be empty."""


def beside(data: StudySummary) -> list[str]:
    """What is said below the answer."""
    return [sentence for tell in (*SENTENCES[1:], diagnosis) if (sentence := tell(data))]
