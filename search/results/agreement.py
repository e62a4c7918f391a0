"""How an exported model does beside the model of which it was made."""

from __future__ import annotations

from dataclasses import dataclass

from search.stats.metrics import METRICS

LOUD = 0.01  # accuracy, or what goes with it, that shortened numbers may cost before it is said loudly


@dataclass(frozen=True)
class Agreement:
    """An exported file beside the study's model, on the study's images."""

    images: int
    largest: float  # difference of a probability
    differing: int  # images whose most probable class is another
    judged: int  # images that the scores are of: those for testing where there are any, else all
    testing: bool  # whether these are testing images, which no network was trained on
    metric: str  # the study's, so that the score is the one that its report has
    score: float  # of the exported file
    score_before: float  # of the study's model
    bytes: int  # of the file, or of all files in the folder
    milliseconds: float  # that one image takes alone, the median of a few, on this machine with all its cores
    milliseconds_before: float  # of the study's model in Keras

    @property
    def lost(self) -> float:
        """By how much the file is worse, in the metric; negative where it is better."""
        return METRICS[self.metric].gain(self.score_before - self.score)

    @property
    def costly(self) -> bool:
        """Whether shortened numbers cost more than a point of accuracy, or what goes with it in the metric."""
        return self.lost > LOUD * METRICS[self.metric].scale + 1e-9  # a point exactly is none, whatever its last digit
