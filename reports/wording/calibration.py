"""How far the probabilities of the saved model can be believed, in words."""

from __future__ import annotations

from reports.wording.values import count
from search.results.summary import StudySummary
from search.stats.calibration import Bin

TYPICAL = 0.8  # probability that the sentence is about, or the nearest that the model says often


def answer(data: StudySummary) -> str:
    """'When it says 80 %, it is right 78 % of the time'; empty where nothing is known."""
    if data.calibrated is None:
        return ""
    at = min(data.calibrated.after.bins, key=lambda of_bin: abs(of_bin.said - TYPICAL))
    return (
        f"When the saved model says {_percent(at.said)}, it is right {_percent(at.right)} of the time "
        f"({100 * at.low:.0f} to {_percent(at.high)})."
    )


def about(data: StudySummary) -> str:
    """What was done to the probabilities, and how far they are off on average."""
    if data.calibrated is None:
        return ""
    found, points = data.calibrated.after, 100 * data.calibrated.after.error
    images = sum(of_bin.images for of_bin in found.bins)
    luck, softened = 100 * found.by_luck, _softened(data.calibrated.temperature)
    return (
        f"On average what it says and how often it is right are {points:.1f} points apart; with "
        f"{count(images, 'picture')} chance alone makes that about {luck:.1f}. {softened} "
        "Judged on pictures that neither the networks nor this correction had seen."
    )


def drawn(data: StudySummary) -> str:
    """The diagram for who does not see it."""
    bins = data.calibrated.after.bins if data.calibrated else ()
    return "How often it is right, by how sure it is: " + "; ".join(map(_bin, bins)) + "."


def _bin(of_bin: Bin) -> str:
    return f"says {_percent(of_bin.said)}, right {_percent(of_bin.right)} of {count(of_bin.images, 'picture')}"


def _softened(temperature: float) -> str:
    if temperature == 1:
        return "The network's own probabilities are used as they are."
    how = "less sure" if temperature > 1 else "surer"
    return f"Predictions are corrected: the network's own probabilities are made {how} (temperature {temperature:.2f})."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
