"""`study.toml`: what is asked. Read into one frozen value, with every problem named at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tomlkit
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError
from tomlkit.items import AoT

from search.errors import UsageError
from search.metrics import METRICS
from search.race import RULES
from search.ranking import SECOND_OBJECTIVES
from spaces.backbones.applications import ARCHITECTURES
from spaces.parameters import nearest, received, shown
from spaces.presets import PRESETS

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
        said = f"must be one of {', '.join(names)}"
        raise ValueError(said if help_.startswith("known") else f"{said}; {help_}")


SAMPLERS = {
    "optuna": ("tpe", "random", "qmc", "gp", "cmaes", "grid", "nsga2"),
    "keras-tuner": ("bayesian", "random", "grid", "hyperband"),
}
"""Engine -> its samplers, the default first."""

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
"""Dtype policies of Keras that a network may be trained by, the default first."""

OF_TWO_OBJECTIVES = ("nsga2", "tpe", "random")
"""Samplers of Optuna that can weigh two objectives, the default first."""


def _of_optuna(objective: str | None, info: ValidationInfo) -> str | None:
    if objective is not None and info.data.get("engine") == "keras-tuner":
        raise PydanticCustomError("sentence", "keras-tuner searches for one objective; two need engine optuna")
    return objective


def _of_its_engine(sampler: str | None, info: ValidationInfo) -> str | None:
    engine = info.data.get("engine")  # not there where it is wrong itself
    if sampler is None or engine is None:
        return sampler
    if sampler in SAMPLERS[engine]:
        return _of_its_objectives(sampler, info.data.get("second_objective"))
    for other, names in SAMPLERS.items():
        if sampler in names:
            raise PydanticCustomError(
                "sentence", f"'{sampler}' is a sampler of {other}; {engine} has {', '.join(SAMPLERS[engine])}"
            )
    _check_one_of(sampler, SAMPLERS[engine])
    return sampler


def _of_its_objectives(sampler: str, second: str | None) -> str:
    if sampler == "nsga2" and second is None:
        raise PydanticCustomError(
            "sentence", f"'nsga2' weighs two objectives; set second_objective ({' or '.join(SECOND_OBJECTIVES)}) too"
        )
    if second is not None and sampler not in OF_TWO_OBJECTIVES:
        raise PydanticCustomError(
            "sentence", f"'{sampler}' searches for one objective; two need one of {', '.join(OF_TWO_OBJECTIVES)}"
        )
    return sampler


def _race_that_fits(rule: str | None, info: ValidationInfo) -> str | None:
    if rule is None or rule == "none":
        return rule
    if info.data.get("second_objective") is not None:
        raise PydanticCustomError(
            "sentence", "a race gives up what is behind in the metric alone; with second_objective it must be 'none'"
        )
    if info.data.get("sampler") == "hyperband":
        raise PydanticCustomError("sentence", "'hyperband' is a race of its own; with it this one must be 'none'")
    return rule


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


class Config(BaseModel):
    """A study as asked. `trials` and `hours` are budgets, totals over all sittings; all else is its identity, but for
    `tries`: what was tried is stored, and what is added later is tried next.

    `weights` are files of pre-trained networks by name, relative to the study, and `groups` may be one; what counts is
    what is in them. Of `lock_box` the images count that it drew; `nested` adds to the study and changes nothing in it.
    """

    model_config = _STRICT

    images: str = Field(min_length=1)
    preset: Annotated[str, _one_of(*PRESETS)] = "auto"
    engine: Annotated[str, _one_of(*SAMPLERS)] = "optuna"
    second_objective: Annotated[Annotated[str, _one_of(*SECOND_OBJECTIVES)] | None, AfterValidator(_of_optuna)] = None
    sampler: Annotated[str | None, AfterValidator(_of_its_engine)] = None  # None: the engine's default
    metric: Annotated[str, _one_of(*METRICS)] = "balanced_accuracy"
    race: Annotated[Annotated[str, _one_of(*RULES)] | None, AfterValidator(_race_that_fits)] = None  # None: by default
    folds: int | None = Field(default=None, ge=2, le=100)  # None: 5, or fewer where a class has fewer images
    seed: int = Field(default=0, ge=0, lt=2**31)
    trials: int | None = Field(default=200, ge=1, le=10_000_000)
    hours: float | None = Field(default=8.0, gt=0)
    image_size: Annotated[tuple[Annotated[int, _SIDE], Annotated[int, _SIDE]] | None, BeforeValidator(_pair)] = None
    flip: bool = True
    groups: str | None = Field(default=None, min_length=1)  # a table (.csv), relative to the study, or a pattern
    lock_box: bool | None = None  # None: drawn from 1,000 images on, unless the study began without
    nested: bool = False
    max_parameters: int = Field(default=5_000_000, ge=1)
    training: TrainingConfig = TrainingConfig()
    weights: Mapping[Annotated[str, _one_of(*ARCHITECTURES)], Annotated[str, Field(min_length=1)]] = {}
    space: Mapping[str, Any] = {}
    tries: list[dict[str, Any]] = Field(default=[], alias="try")  # points, as changes to the default point

    @property
    def chosen_sampler(self) -> str:
        """The sampler that was asked for, else the default of the engine and its objectives."""
        return self.sampler or (OF_TWO_OBJECTIVES if self.second_objective else SAMPLERS[self.engine])[0]

    @property
    def chosen_race(self) -> str:
        """The rule that was asked for, else 'paired' wherever there can be a race."""
        return self.race or ("none" if self.second_objective or self.sampler == "hyperband" else "paired")

    def identity(self) -> dict[str, Any]:
        """What may not change once the study has begun, as plain data."""
        free = {"trials", "hours", "images", "weights", "space", "tries", "groups", "lock_box", "nested"}
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


def write(folder: Path, config: Config, tries: Sequence[Try] = ()) -> None:
    """Write a commented `study.toml` for a new study, with more points to try."""
    document = tomlkit.document()
    document.add(tomlkit.comment("A study of smallsearch. `search run` starts it or goes on with it."))
    for key, comment in _COMMENTS.items():
        document.add(tomlkit.nl())
        document.add(tomlkit.comment(comment))
        value = getattr(config, key)
        if value is None:
            example = f'"{config.chosen_sampler}"' if key == "sampler" else _EXAMPLES[key]
            document.add(tomlkit.comment(f"{key} = {example}"))
        else:
            document[key] = list(value) if isinstance(value, tuple) else value
    document.add(tomlkit.nl())
    document.add("training", _training_table(config.training))
    document.add(tomlkit.nl())
    document.add("weights", _weights_table(config.weights))
    document.add(tomlkit.nl())
    space = tomlkit.table()
    space.add(tomlkit.comment("Narrow, fix or widen a parameter by name; `search space` lists them. Examples:"))
    *narrowed, tried = _SPACE_EXAMPLES[config.preset]
    for example in narrowed:
        space.add(tomlkit.comment(example))
    for name, change in config.space.items():
        space[name] = change
    document.add("space", space)
    document.add(tomlkit.nl())
    document.add(tomlkit.comment("A point to try before the sampler's, as changes to the default; any number of them:"))
    document.add(tomlkit.comment("[[try]]"))
    document.add(tomlkit.comment(tried))
    _add_tries(document, [*(Try(changes) for changes in config.tries), *tries])
    _replace(folder / FILE, tomlkit.dumps(document))


def update(folder: Path, changes: Mapping[str, Any], tries: Sequence[Try] = ()) -> None:
    """Set keys of an existing `study.toml` ('training.max_epochs' for one in a table) and add points to try.

    All else stays as it is.
    """
    path = folder / FILE
    before = path.read_text(encoding="utf-8")
    document = tomlkit.parse(before)
    for key, value in changes.items():
        *tables, name = key.split(".")
        table: Any = document
        for part in tables:
            table = table.setdefault(part, tomlkit.table())
        table[name] = value
    _add_tries(document, tries)
    after = tomlkit.dumps(document)
    if after != before:
        _replace(path, after)


def _add_tries(document: tomlkit.TOMLDocument, tries: Sequence[Try]) -> None:
    if tries and "try" not in document:
        document.append("try", tomlkit.aot())
    there: Any = document.get("try")  # tables, or an array of inline ones
    for one in tries:
        table = tomlkit.table() if isinstance(there, AoT) else tomlkit.inline_table()
        if one.source and isinstance(there, AoT):
            table.add(tomlkit.comment(one.source))
        table.update(one.changes)
        there.append(table)


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with dotted keys set."""
    result = dict(values)
    for key, value in changes.items():
        first, _, rest = key.partition(".")
        table = result.get(first, {})
        if not rest:
            result[first] = value
        elif isinstance(table, Mapping):  # else it is wrong, and `parse` says so
            result[first] = merged(table, {rest: value})
    return result


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Each setting in which `asked` differs from `stored`: 'folds: the study has 5, asked is 10'."""
    found = []
    for key in sorted(stored.keys() | asked.keys()):
        old, new = stored.get(key), asked.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: the study has {_said(old)}, asked is {_said(new)}")
    return found


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path.parent} is not a study: it has no {FILE}; `search run IMAGES` makes one") from None
    except (ValueError, RecursionError) as error:  # TOML, UTF-8, a number of 5,000 digits, tables 1,000 deep
        raise UsageError(f"{path} is not TOML: {error}; correct that line, or put a copy back") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all: a full disk or a kill leaves the old one."""
    path = path.resolve()
    partial = path.with_name(f".{path.name}.new")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
"""What Pydantic finds, in words for somebody who writes TOML."""


def _problem(found: dict[str, Any]) -> str:
    """One Pydantic error as: key, rule, value received, and the nearest key or value where it is unknown."""
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
        rule = _RULES[found["type"]].format(**{name: shown(bound) for name, bound in context.items()})
    return f"{key}: {rule}, got {received(found['input'])}" + (f"; {hint}" if hint else "")


def _training_table(training: TrainingConfig) -> Any:
    table = tomlkit.table()
    table.add(tomlkit.comment("the most epochs of a fold run; unset: as the preset says"))
    if training.max_epochs is None:
        table.add(tomlkit.comment("max_epochs = 40"))
    else:
        table["max_epochs"] = training.max_epochs
    table.add(tomlkit.comment("epochs without a smaller validation log loss before a fold run stops; 0: never"))
    table["patience"] = training.patience
    table.add(tomlkit.comment("nats by which that loss must fall to count"))
    table["min_delta"] = training.min_delta
    table.add(tomlkit.comment("float32, or for GPUs mixed_float16 or mixed_bfloat16; what is shipped is float32"))
    table["precision"] = training.precision
    table.add(tomlkit.comment("whether XLA compiles the steps of training; slower on a processor"))
    table["xla"] = training.xla
    return table


def _weights_table(weights: Mapping[str, str]) -> Any:
    table = tomlkit.table()
    table.add(
        tomlkit.comment("Further pre-trained networks for frozen, fine-tune and auto, each from a file of weights")
    )
    table.add(tomlkit.comment(f'without its classes, or "{FROM_KERAS}", which lets Keras download them. The names:'))
    table.add(tomlkit.comment(", ".join(ARCHITECTURES)))
    table.add(tomlkit.comment('convnext_tiny = "convnext_tiny_notop.h5"'))
    for name, path in weights.items():
        table[name] = path
    return table


_COMMENTS = {
    "images": "the folder of images: one folder a class, or training/ and testing/ with one folder a class in each",
    "preset": "the space that is searched: auto (all that follow), frozen and fine-tune (a pre-trained network), cnn, "
    "question (the LeNet that stays at chance)",
    "engine": "who proposes the next point: optuna, or keras-tuner",
    "second_objective": "minimised beside the metric: parameters (of the model), or latency (ms an image to predict, "
    "a property of this machine); unset: nothing",
    "sampler": "of optuna: tpe (the default), random, qmc, gp (needs torch), cmaes (needs cmaes), grid, nsga2 (the "
    "default where there is a second objective); of keras-tuner: bayesian (the default), random, grid, hyperband",
    "metric": f"what is searched for: {', '.join(METRICS)}",
    "race": "whether a trial goes on after a fold: paired (the default: not if clearly worse than the best one on the "
    "same images), forgiving (not if no better than the best one's worst fold), none",
    "folds": "folds of cross-validation; unset: 5, or fewer where a class has fewer images",
    "seed": "every other seed is derived from this one",
    "trials": "budgets are totals over all sittings, and both hold",
    "hours": "hours of searching, in total",
    "image_size": "height and width in pixels, or one number for both; unset: from the images, at most 128",
    "flip": "whether a picture turned left to right still shows its class; false for letters, or left and right hands",
    "groups": "images that belong together, such as those of one patient, stay in one fold: a table (.csv) with the "
    "columns path and group, or a regular expression whose one group is found in the path; unset: copies only",
    "lock_box": "from 1,000 images on, without a testing folder, a sixth of them is drawn and locked away, to test the "
    "choice on, once; false: all of them are searched",
    "nested": "whether, after the search, all of it is repeated for each fold without that fold's images, and what is "
    "chosen is judged on those: several times the time, for the least biased estimate",
    "max_parameters": "models with more parameters, those that come pre-trained not counted, are not trained but drawn "
    "anew",
}

_SPACE_EXAMPLES = {  # by preset; the last is that of a point to try
    "auto": (
        'family = ["frozen", "cnn"]                              # these only',
        "cnn_dropout = 0.2                                       # fixed",
        "cnn_learning_rate = { low = 1e-5, high = 1e-3, log = true }",
        "frozen_c = 0.3",
    ),
    "frozen": (
        "input_size = [128, 192]             # one of these",
        'stages = "all"                      # fixed',
        "c = { low = 1e-3, high = 1.0, log = true }",
        "c = 0.3",
    ),
    "fine-tune": (
        "input_size = [96, 128]              # one of these",
        "dropout = 0.2                       # fixed",
        "epochs = { low = 4, high = 8 }",
        "epochs = 6",
    ),
    "cnn": (
        "dropout = 0.2                       # fixed",
        "conv_depth = [2, 3]                 # one of these",
        "filters = { low = 8, high = 32 }",
        "dropout = 0.1",
    ),
    "question": (
        "dropout = 0.2                       # fixed",
        "conv_depth = [2, 3]                 # one of these",
        "batch_size = [8, 16]",
        "dropout = 0.1",
    ),
}

_EXAMPLES = {
    "second_objective": '"parameters"',
    "race": '"paired"',
    "folds": "5",
    "trials": "200",
    "hours": "8.0",
    "image_size": "[64, 64]",
    "groups": "'patient([0-9]+)_'",
    "lock_box": "false",
}
