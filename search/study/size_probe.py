"""What was found when pictures were compared at two sizes, as a study stores it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from search.stats.paired import Difference

KEY = "size_probe"  # in a study's identity
_KINDS = {"side": "whole", "before": "wholes", "size": "wholes", "backbone": "text", "metric": "text"}
_KINDS |= {"scores": "numbers", "gain": "number", "interval": "numbers", "images": "whole"}


@dataclass(frozen=True)
class SizeProbe:
    """Features of a pre-trained network, of the same pictures at two sizes: whether the larger one shows more."""

    side: int  # pixels at which the network saw both
    before: tuple[int, int]  # height and width, the smaller size
    size: tuple[int, int]  # the larger one
    backbone: str
    metric: str
    scores: tuple[float, float]  # out of fold, of the smaller size and of the larger
    gain: float  # larger less smaller; above 0 is better, whatever the metric
    interval: tuple[float, float]  # of 95 %, of the gain
    images: int

    @classmethod
    def of(
        cls,
        found: Difference,
        scores: tuple[float, float],
        *,
        side: int,
        before: tuple[int, int],
        size: tuple[int, int],
        backbone: str,
    ) -> SizeProbe:
        """The result of a comparison; `found` is of the larger size less the smaller one."""
        sign = 1 if found.gain == found.value else -1
        low, high = sorted((sign * found.low, sign * found.high))
        return cls(side, before, size, backbone, found.metric, scores, found.gain, (low, high), found.images)

    @property
    def is_larger(self) -> bool:
        """Whether pictures are read at the larger size: the whole interval is above 0."""
        return self.interval[0] > 0

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def of_plain(cls, config: Mapping[str, Any]) -> SizeProbe | None:
        """That of a stored study; None if its pictures were not compared. Raises ValueError for one that cannot be."""
        plain = config.get(KEY)
        if plain is None:
            return None
        if not isinstance(plain, Mapping) or not _is_sound(plain):
            raise ValueError(f"a '{KEY}' that cannot be")
        values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in plain.items()}
        return cls(**values)

    @property
    def sentence(self) -> str:
        """The decision and its reason, for the user."""
        (old, new), (low, high) = self.scores, self.interval
        small, large = (f"{width} x {height}" for height, width in (self.before, self.size))
        numbers = (
            f"{self.metric} {new:.3f} instead of {old:.3f} on {self.images} of them, by the features of "
            f"{self.backbone}; better by {self.gain:.3f}, 95 % interval {low:.3f} to {high:.3f}"
        )
        if self.is_larger:
            return f"pictures are read at {large} pixels instead of {small}: {numbers}. --image-size sets another size"
        return (
            f"pictures are read at {small} pixels: {large} is not clearly better ({numbers}). --image-size sets "
            "another size"
        )


def _is_sound(plain: Mapping[str, Any]) -> bool:
    """Whether each value is of its kind: what a stranger's database says is printed."""
    is_kind = {
        "whole": lambda value: type(value) is int and 0 < value < 2**31,
        "number": lambda value: type(value) in {int, float},
        "text": lambda value: isinstance(value, str) and value.replace("_", "").replace("-", "").isalnum(),
    }

    def sound(kind: str, value: Any) -> bool:
        if kind.endswith("s"):
            return isinstance(value, list) and len(value) == 2 and all(is_kind[kind[:-1]](one) for one in value)
        return bool(is_kind[kind](value))

    return plain.keys() == _KINDS.keys() and all(sound(_KINDS[name], value) for name, value in plain.items())
