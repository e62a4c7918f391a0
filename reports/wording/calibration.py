"""How far the probabilities of the saved model can be believed, in words."""

from __future__ import annotations

from reports.wording.values import count
from search.results.summary import StudySummary
from search.stats.calibration import Bin, Correction

CLOSE = 0.03  # difference of shares over all pictures, or what chance makes of it, that is as it should be


def answer(data: StudySummary) -> str:
    """Whether its probabilities can be believed, over all pictures and at both ends; empty where nothing is known."""
    if data.calibrated is None:
        return ""
    found = data.calibrated.after
    images = sum(of_bin.images for of_bin in found.bins)
    said, right = (
        sum(of_bin.images * value for of_bin, value in zip(found.bins, values, strict=True)) / images
        for values in ([of_bin.said for of_bin in found.bins], [of_bin.right for of_bin in found.bins])
    )
    off = said - right
    against = [b for b in found.bins if (b.said - b.right) * off < 0 and not b.low <= b.said <= b.high]
    if max(abs(off), found.error) <= max(CLOSE, 1.5 * found.by_luck):
        first = "You can take its probabilities as they are"
        if found.by_luck > CLOSE:
            first = f"Nothing speaks against its probabilities, as far as {count(images, 'picture')} can tell"
    elif abs(off) <= CLOSE or against:
        first = "Its probabilities are too high for some pictures and too low for others"
    else:
        first = f"It is {'surer' if off > 0 else 'less sure'} than it should be"
    ends = ""
    if len(found.bins) > 1:
        least, most = found.bins[0], found.bins[-1]
        ends = (
            f" Where it is least sure, it says {_percent(least.said)} and {_percent(least.right)} are right; where it "
            f"is surest, {_percent(most.said)} and {_percent(most.right)}."
        )
    return f"{first}: over all pictures it says {_percent(said)}, and {_percent(right)} are right.{ends}"


def about(data: StudySummary) -> str:
    """What was done to the probabilities, and how far they are off on average."""
    if data.calibrated is None:
        return ""
    found, points = data.calibrated.after, 100 * data.calibrated.after.error
    images = sum(of_bin.images for of_bin in found.bins)
    luck, said = 100 * found.by_luck, corrected(data.calibrated.correction)
    return (
        f"On average what it says and how often it is right are {points:.1f} points apart; with "
        f"{count(images, 'picture')} chance alone makes that about {luck:.1f}. {said} "
        "Judged on pictures that neither the networks nor this correction had seen."
    )


def drawn(data: StudySummary) -> str:
    """The diagram for who does not see it."""
    bins = data.calibrated.after.bins if data.calibrated else ()
    return "How often it is right, by how sure it is: " + "; ".join(map(_bin, bins)) + "."


def _bin(of_bin: Bin) -> str:
    return f"says {_percent(of_bin.said)}, right {_percent(of_bin.right)} of {count(of_bin.images, 'picture')}"


def corrected(correction: Correction) -> str:
    """What `search predict` does to the network's own probabilities."""
    if correction.is_none:
        return "The network's own probabilities are used as they are."
    temperature, doubt = correction.temperature, correction.doubt
    done = []
    if temperature != 1:
        done.append(f"are made {'less sure' if temperature > 1 else 'surer'} (temperature {temperature:.2f})")
    if doubt:
        done.append(f"give {100 * doubt:.3g} % to all classes alike, since some pictures can be taken for anything")
    return f"Predictions are corrected: the network's own probabilities {', then '.join(done)}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
