"""`study.toml`, the settings. They are read into one frozen value, and all problems are named at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from search.data.origin import Origin
from search.errors import UsageError
from search.samplers.catalog import ENGINES, SAMPLERS, SamplerRow, of_engine, row_of
from search.stats.metrics import METRICS
from search.stats.racing import RULES
from search.stats.ranking import SECOND_OBJECTIVES
from search.stats.selection import PRICES, Wish
from search.study.toml_text import parse_toml, read_toml
from search.text import MAX_HOURS, command_line, seconds_of
from spaces.backbones.applications import ARCHITECTURES
from spaces.backbones.folder import NAME
from spaces.backbones.lite import PACKAGED
from spaces.parameters import format_value, nearest, received
from spaces.presets import PRESETS
from storage import ServerUrl

FILE = "study.toml"
FROM_KERAS = "keras"  # instead of a path in `[weights]`: Keras may download it

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
_SIDE = Field(ge=8, le=1024)


def _pair(size: Any) -> Any:
    if isinstance(size, int) and not isinstance(size, bool):
        return size, size
    if isinstance(size, list) and len(size) == 2:
        return tuple(size)
    if size is None or isinstance(size, tuple):
        return size
    raise ValueError("must be a whole number, or two: [height, width]")


def _one_of(*names: str) -> AfterValidator:
    def check(name: str) -> str:
        _check_one_of(name, names)
        return name

    return AfterValidator(check)


def _check_one_of(name: str, names: Sequence[str]) -> None:
    if name not in names:
        help_ = nearest(name, names)
        rule = f"must be one of {', '.join(names)}"
        raise ValueError(rule if help_.startswith("known") else f"{rule}; {help_}")


PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
"""Dtype policies of Keras that networks can be trained with, the default first."""


def _of_one_that_can(objective: str | None, info: ValidationInfo) -> str | None:
    engine = info.data.get("engine")  # missing if it is invalid itself
    if objective is not None and engine is not None and not of_engine(engine, two_objectives=True):
        able = [other for other in ENGINES if of_engine(other, two_objectives=True)]
        raise PydanticCustomError(
            "sentence", f"{engine} searches for one objective; two need engine {' or '.join(able)}"
        )
    return objective


def _of_its_engine(sampler: str | None, info: ValidationInfo) -> str | None:
    engine = info.data.get("engine")  # missing if it is invalid itself
    if sampler is None or engine is None:
        return sampler
    names = of_engine(engine)
    if sampler in names:
        _check_objectives(row_of(engine, sampler), info.data.get("second_objective"))
        return sampler
    for row in SAMPLERS:
        if row.name == sampler:
            raise PydanticCustomError(
                "sentence", f"'{sampler}' is a sampler of {row.engine}; {engine} has {', '.join(names)}"
            )
    _check_one_of(sampler, names)
    return sampler


def _check_objectives(row: SamplerRow, second: str | None) -> None:
    if second is None and not row.one_objective:
        raise PydanticCustomError(
            "sentence",
            f"'{row.name}' weighs two objectives; set second_objective ({' or '.join(SECOND_OBJECTIVES)}) too",
        )
    if second is not None and not row.two_objectives:
        able = ", ".join(of_engine(row.engine, two_objectives=True))
        raise PydanticCustomError("sentence", f"'{row.name}' searches for one objective; two need one of {able}")


def _race_that_fits(rule: str | None, info: ValidationInfo) -> str | None:
    if rule is None or rule == "none":
        return rule
    if info.data.get("second_objective") is not None:
        raise PydanticCustomError(
            "sentence", "a race gives up what is behind in the metric alone; with second_objective it must be 'none'"
        )
    engine, sampler = info.data.get("engine"), info.data.get("sampler")
    if engine and sampler and row_of(engine, sampler).sets_epochs:
        raise PydanticCustomError("sentence", f"'{sampler}' is a race of its own; with it this one must be 'none'")
    return rule


def _name_of_weights(name: str) -> str:
    """Of keras.applications, or the user's own for a folder."""
    if NAME.fullmatch(name) is None or name in [packaged.name for packaged in PACKAGED]:
        _check_one_of(name, tuple(ARCHITECTURES))
    return name


def _of_a_table(columns: str | None, info: ValidationInfo) -> str | None:
    if columns is not None and info.data.get("labels", columns) is None:  # missing if it is invalid itself
        raise PydanticCustomError("sentence", "says what the columns of a table mean; name the table with labels")
    return columns


def _instead_of_hours(time: str | None, info: ValidationInfo) -> str | None:
    if time is None:
        return None
    try:
        hours = seconds_of(time) / 3600
    except ValueError as error:
        raise PydanticCustomError("sentence", "{why}", {"why": str(error)}) from None
    if info.data.get("hours", hours) != hours:  # missing if it is invalid itself
        raise PydanticCustomError("sentence", "is the same budget as hours; leave one of them out")
    return time


def _server(url: str | None) -> str | None:
    """The URL as it is stored. No message has what was given, which may hold a password."""
    try:
        return None if url is None else str(ServerUrl.parse(url))
    except ValueError as error:
        raise PydanticCustomError("sentence", "{why}", {"why": str(error)}) from None


class TrainingConfig(BaseModel):
    """How long a fold run lasts, and how it is computed."""

    model_config = _STRICT

    max_epochs: int | None = Field(default=None, ge=1, le=100_000)  # None: as the preset says
    patience: int = Field(default=8, ge=0)
    min_delta: float = Field(default=0.001, ge=0)
    precision: Annotated[str, _one_of(*PRECISIONS)] = PRECISIONS[0]
    xla: bool = False


@dataclass(frozen=True)
class Try:
    """A point for `[[try]]`."""

    changes: Mapping[str, Any]  # to the default point
    source: str = ""  # where it comes from, one line for a comment


SAME_BUDGET = {"time": "hours", "hours": "time"}
"""Keys of `Config` of which the file has one."""

DATA = ("images", "also", "labels", "label_columns", "label_pattern", "classes", "merge")
"""The keys of `Config` that say which images are read, and which class each has."""


class Config(BaseModel):
    """The settings of a study. `trials` and `hours` are budgets, totals over all sessions. All others are the study's
    identity and cannot change, except `tries`: points that are added later are tried next.

    The keys of `DATA` say where the images are and which class each has. What they say together is compared, as the
    fingerprint of the images. `weights` are files of pre-trained networks by name, relative to the study; `groups` may
    be a file too. Their content is compared, not their paths. For `lock_box`, the drawn images are compared. `nested`
    adds to the study and changes nothing in it. `storage` says where a new study is kept; one that has begun stays
    where it is.
    """

    model_config = _STRICT

    images: str = Field(min_length=1)  # a folder, or an archive
    also: list[Annotated[str, Field(min_length=1)]] | None = Field(default=None, max_length=100)  # more of them
    labels: str | None = Field(default=None, min_length=1)  # a table, relative to the study; None: folders are classes
    label_columns: Annotated[Annotated[str, Field(min_length=1)] | None, AfterValidator(_of_a_table)] = None  # its own
    label_pattern: str | None = Field(default=None, min_length=1)
    classes: list[Annotated[str, Field(min_length=1)]] | None = None  # these alone; None: all
    merge: list[Annotated[str, Field(min_length=1)]] | None = None  # 'new=a+b'
    preset: Annotated[str, _one_of(*PRESETS)] = "auto"
    engine: Annotated[str, _one_of(*ENGINES)] = ENGINES[0]
    second_objective: Annotated[
        Annotated[str, _one_of(*SECOND_OBJECTIVES)] | None, AfterValidator(_of_one_that_can)
    ] = None
    sampler: Annotated[str | None, AfterValidator(_of_its_engine)] = None  # None: the engine's default
    metric: Annotated[str, _one_of(*METRICS)] = "balanced_accuracy"
    race: Annotated[Annotated[str, _one_of(*RULES)] | None, AfterValidator(_race_that_fits)] = None  # None: by default
    folds: int | None = Field(default=None, ge=2, le=100)  # None: 5, or fewer where a class has fewer images
    seed: int = Field(default=0, ge=0, lt=2**31)
    trials: int | None = Field(default=200, ge=1, le=10_000_000)
    hours: float | None = Field(default=8.0, gt=0, le=MAX_HOURS)
    time: Annotated[str | None, AfterValidator(_instead_of_hours)] = None  # where `hours` was given in words: '30m'
    until_flat: bool = False
    prefer: Annotated[str, _one_of(*PRICES)] = "best"
    max_latency: float | None = Field(default=None, gt=0)  # milliseconds an image
    image_size: Annotated[tuple[Annotated[int, _SIDE], Annotated[int, _SIDE]] | None, BeforeValidator(_pair)] = None
    flip: bool = True
    groups: str | None = Field(default=None, min_length=1)  # a table (.csv), relative to the study, or a pattern
    lock_box: bool | None = None  # None: drawn from 1,000 images on, unless the study began without
    nested: bool = False
    storage: Annotated[str | None, AfterValidator(_server)] = None  # of a server; None: a file in the study's folder
    max_parameters: int = Field(default=5_000_000, ge=1)
    training: TrainingConfig = TrainingConfig()
    weights: Mapping[Annotated[str, AfterValidator(_name_of_weights)], Annotated[str, Field(min_length=1)]] = {}
    space: Mapping[str, Any] = {}
    tries: list[dict[str, Any]] = Field(default=[], alias="try")  # points, as changes to the default point

    @model_validator(mode="before")
    @classmethod
    def _hours_of_time(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(time := values.get("time"), str) and "hours" not in values:
            with suppress(ValueError):  # told by `time` itself
                return {**values, "hours": seconds_of(time) / 3600}
        return values

    def origin(self, folder: Path) -> Origin:
        """Where the images are, for a study in this folder."""
        return Origin(
            roots=tuple(folder / path for path in (self.images, *(self.also or ()))),
            labels=None if self.labels is None else folder / self.labels,
            columns=self.label_columns,
            pattern=self.label_pattern,
            classes=tuple(self.classes or ()),
            merge=tuple(self.merge or ()),
        )

    @property
    def chosen_sampler(self) -> str:
        """The sampler in the settings, else the default for the engine and the objectives."""
        return self.sampler or of_engine(self.engine, two_objectives=self.second_objective is not None)[0]

    @property
    def sampler_row(self) -> SamplerRow:
        """The properties of that sampler."""
        return row_of(self.engine, self.chosen_sampler)

    @property
    def chosen_race(self) -> str:
        """The rule in the settings, else 'paired' where a race is possible."""
        return self.race or ("none" if self.second_objective or self.sampler_row.sets_epochs else "paired")

    @property
    def wish(self) -> Wish:
        """What the user wants of the saved model."""
        return Wish(PRICES[self.prefer], self.max_latency or math.inf)

    def identity(self) -> dict[str, Any]:
        """The settings that may not change once the study has begun, as plain data."""
        free = {
            "trials",
            "hours",
            "time",
            "until_flat",
            "prefer",
            "max_latency",
            *DATA,
            "weights",
            "space",
            "tries",
            "groups",
            "lock_box",
            "nested",
            "storage",
        }
        plain = self.model_dump(mode="json", exclude=free)
        return {**plain, "sampler": self.chosen_sampler, "race": self.chosen_race}


def parse(values: Mapping[str, Any], where: str) -> Config:
    """The configuration from plain values. Raises UsageError that lists every problem: key, rule, value."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = dict.fromkeys(_problem(dict(found)) for found in error.errors())
        raise UsageError(f"{where}:\n" + "\n".join(f"  {problem}" for problem in problems)) from None


def read(folder: Path, changes: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a study folder, `changes` (dotted keys) made to it.

    Raises UsageError where the file is missing, not TOML, or wrong.
    """
    return parse(merged(_load(folder / FILE), changes or {}), str(folder / FILE))


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with changes, whose keys may be dotted. `time` takes the place of `hours`, and the other way."""
    gone = {SAME_BUDGET[key] for key in changes if key in SAME_BUDGET}
    return _merged({key: value for key, value in values.items() if key not in gone}, changes)


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(values)
    for key, value in changes.items():
        first, _, rest = key.partition(".")
        table = result.get(first, {})
        if not rest:
            result[first] = value
        elif isinstance(table, Mapping):  # else it is invalid, and `parse` reports it
            result[first] = _merged(table, {rest: value})
    return result


def _load(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path, read_toml(path).text)
    except FileNotFoundError:
        makes = command_line("run", "IMAGES")
        raise UsageError(f"{path.parent} is not a study: it has no {FILE}; `{makes}` makes one") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


_RULES = {
    "missing": "must be given",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "string_too_short": "must not be empty",
    "string_unicode": "must be valid Unicode",
    "dict_type": "must be a table",
    "list_type": "must be a list",
    "model_type": "must be a table",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
}
"""Pydantic's error types, in words for authors of TOML."""


def _problem(found: dict[str, Any]) -> str:
    """One Pydantic error as: key, rule, value received, and for an unknown key or value the nearest known one."""
    inner = ("tuple", "function", "[key]")
    parts = [part for part in found["loc"] if isinstance(part, str) and not part.startswith(inner)]
    key = ".".join(parts)
    if found["type"] == "extra_forbidden":
        model = TrainingConfig if len(parts) > 1 else Config
        known = [field.alias or name for name, field in model.model_fields.items()]
        return f"{key}: no such key; {nearest(parts[-1], known)}"
    if found["type"] == "sentence":
        return f"{key}: {found['msg']}"
    if found["type"] == "missing":
        return f"{key}: {_RULES['missing']}"
    context = found.get("ctx", {})
    rule, _, hint = str(context["error"]).partition("; ") if "error" in context else (found["msg"], "", "")
    if found["type"] in _RULES:
        rule = _RULES[found["type"]].format(**{name: format_value(bound) for name, bound in context.items()})
    return f"{key}: {rule}, got {received(found['input'])}" + (f"; {hint}" if hint else "")
