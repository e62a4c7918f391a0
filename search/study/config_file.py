"""Writing `study.toml`, with its comments, and changing one that is there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import AoT

from search.errors import UsageError
from search.files import write_atomically
from search.samplers import catalog
from search.stats.metrics import METRICS
from search.study.config import FILE, FROM_KERAS, SAME_BUDGET, Config, TrainingConfig, Try, merged
from search.study.toml_text import parse_toml, read_toml
from spaces.backbones.applications import ARCHITECTURES


def write(folder: Path, config: Config, tries: Sequence[Try] = ()) -> None:
    """Write a commented `study.toml` for a new study, with more points to try."""
    document = tomlkit.document()
    document.add(tomlkit.comment("A study of smallsearch. `search run` starts it or goes on with it."))
    for key, comment in _COMMENTS.items():
        document.add(tomlkit.nl())
        document.add(tomlkit.comment(comment))
        value = None if key == "hours" and config.time else getattr(config, key)
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
    write_atomically((folder / FILE).resolve(), tomlkit.dumps(document))  # where it is a link, the file that is meant


def update(folder: Path, changes: Mapping[str, Any], tries: Sequence[Try] = (), unset: Collection[str] = ()) -> None:
    """Set keys of an existing `study.toml` ('training.max_epochs' for one in a table) and add points to try.

    `unset`: keys outside of tables that are removed where they are set.
    All else stays as it is. Raises UsageError, and leaves the file alone, if that cannot be written into it.
    """
    path = folder / FILE
    file = read_toml(path)
    before = parse_toml(path, file.text)
    added = [point.changes for point in tries]
    expected = {**merged(before, changes), **({"try": [*before.get("try", []), *added]} if added else {})}
    expected = {key: value for key, value in expected.items() if key not in unset}
    try:
        after = _changed(file.text, changes, tries, unset)
        is_right = tomllib.loads(after) == expected
    except (ValueError, LookupError, TypeError):  # tomlkit's
        is_right = False
    if not is_right:
        lines = [f"{key} = {tomlkit.item(value).as_string()}" for key, value in changes.items()]
        lines += ["[[try]]" for _ in tries]
        raise UsageError(f"{path} cannot be changed without changing more; write into it yourself: {'; '.join(lines)}")
    if after != file.text:
        write_atomically(path.resolve(), file.encoded(after))


def _changed(text: str, changes: Mapping[str, Any], tries: Sequence[Try], unset: Collection[str]) -> str:
    document = tomlkit.parse(text)
    for key in SAME_BUDGET.keys() & changes.keys():
        if (other := SAME_BUDGET[key]) in document and key not in document:  # the new one takes its line
            document = tomlkit.parse(re.sub(rf"(?m)^(\s*)([\"']?){other}\2(?=\s*=)", rf"\1{key}", text, count=1))
    for key in unset:
        document.pop(key, None)
    for key, value in changes.items():
        *tables, name = key.split(".")
        table: Any = document
        for part in tables:
            table = table.setdefault(part, tomlkit.table())
        table[name] = value
    _add_tries(document, tries)
    return tomlkit.dumps(document)


def _add_tries(document: tomlkit.TOMLDocument, tries: Sequence[Try]) -> None:
    if tries and "try" not in document:
        document.append("try", tomlkit.aot())
    points: Any = document.get("try")  # an array of tables, or of inline tables
    for point in tries:
        table = tomlkit.table() if isinstance(points, AoT) else tomlkit.inline_table()
        if point.source and isinstance(points, AoT):
            table.add(tomlkit.comment(point.source))
        table.update(point.changes)
        points.append(table)


def _training_table(training: TrainingConfig) -> Any:
    table = tomlkit.table()
    table.add(
        tomlkit.comment("maximum epochs of a fold run, if the model has no parameter `epochs`; unset: the preset's")
    )
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
    table.add(tomlkit.comment("whether XLA compiles each epoch of training; slower on a processor"))
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
    table.add(
        tomlkit.comment("Or, under a name of yours, a folder of Hugging Face or keras-hub (with a config.json), or")
    )
    table.add(tomlkit.comment("a preset of keras-hub, which it downloads once:"))
    table.add(tomlkit.comment('dino = "../dinov2-small"'))
    table.add(tomlkit.comment('vit = "hub:vit_base_patch16_224_imagenet21k"'))
    for name, path in weights.items():
        table[name] = path
    return table


_COMMENTS = {
    "images": "the folder or archive (.zip, .tar) of images: one folder a class, or training/ and testing/ with one "
    "folder a class in each",
    "also": "further folders or archives, whose classes of the same name are read together with these; unset: none",
    "labels": "a table (.csv, .tsv) with the label of each picture, and perhaps its group and split; unset: folders "
    "are classes",
    "label_columns": "which of its columns is which, if their names do not say it: path, label, group, split",
    "label_pattern": "a regular expression whose group, found in a picture's name, is its label; unset: folders are "
    "classes",
    "classes": "the only classes that are read; unset: all",
    "merge": "classes that are read as one; unset: none",
    "preset": "the space that is searched: auto (all that follow), frozen and fine-tune (a pre-trained network), cnn, "
    "question (the LeNet that stays at chance)",
    "engine": f"who proposes the next point: {', or '.join(catalog.ENGINES)}",
    "second_objective": "minimised beside the metric: parameters (of the model), or latency (ms an image to predict, "
    "a property of this machine); unset: nothing",
    "sampler": catalog.in_comment(),
    "metric": f"what is searched for: {', '.join(METRICS)}",
    "race": "whether a trial goes on after a fold: paired (the default: not if clearly worse than the best one on the "
    "same images), forgiving (not if no better than the best one's worst fold), none",
    "folds": "folds of cross-validation; unset: 5, or fewer where a class has fewer images",
    "seed": "every other seed is derived from this one",
    "trials": "budgets are totals over all sessions, and both hold",
    "hours": "hours of searching, in total; or",
    "time": "the same in words",
    "prefer": "which model is saved: best (a cheaper one if that is expected to lose at most 0.3 points), or small (1 "
    "point)",
    "max_latency": "milliseconds that the saved model may take to predict an image, by one thread of this machine; "
    "unset: no limit",
    "until_flat": "whether the search ends before its budgets when another hour is expected to bring less than 0.3 "
    "points",
    "image_size": "height and width in pixels, or one number for both; unset: from the images, at most 128, or "
    "more where a comparison at the start finds that a pre-trained network sees more then",
    "flip": "whether a picture turned left to right still shows its class; false for letters, or left and right hands",
    "groups": "images that belong together, such as those of one patient, stay in one fold: a table (.csv) with the "
    "columns path and group, or a regular expression whose group is found in the path; unset: copies only",
    "lock_box": "from 1,000 images on, without a testing folder, a sixth of them is drawn and locked away, to test the "
    "choice on, once; false: all of them are searched",
    "nested": "whether, after the search, all of it is repeated for each fold without that fold's images, and what is "
    "chosen is judged on those: several times the time, for the least biased estimate",
    "storage": "a database on a PostgreSQL server, in which the results of a new study are kept; the password stays in "
    "PGPASSWORD or ~/.pgpass; unset: in study.db in this folder",
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
    "also": '["../more-pictures.zip"]',
    "labels": '"../labels.csv"',
    "label_columns": '"path=file,label=species"',
    "label_pattern": "'(?P<label>[a-z]+)_'",
    "classes": '["cat", "dog"]',
    "merge": '["pet=cat+dog"]',
    "second_objective": '"parameters"',
    "race": '"paired"',
    "folds": "5",
    "trials": "200",
    "hours": "8.0",
    "time": '"1h30m"',
    "max_latency": "20.0",
    "image_size": "[64, 64]",
    "groups": "'patient([0-9]+)_'",
    "lock_box": "false",
    "storage": '"postgresql://me@host/database"',
}
