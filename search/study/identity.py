"""Checks that a stored study is the requested one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.data.folds import image_records
from search.errors import UsageError
from search.study.config import PRECISIONS
from search.study.prepared import BY_ITSELF, Prepared
from search.text import printable
from spaces import Choice, Parameter, Space, SpaceError
from storage import StorageError, Store, StudyRecord


class OtherSettingsError(UsageError):
    """The stored study is not the requested one."""


def stored_space(store: Store) -> Space:
    """The space that the study searches. Raises StorageError if the database does not contain a valid one."""
    try:
        return Space.from_json(store.study().space)
    except SpaceError as error:
        why = str(error).removeprefix("this is not a stored space: ")
        raise StorageError(_never_written(store, f"a space that is none ({why})")) from None


def _never_written(store: Store, found: str) -> str:
    return f"{store.path}: holds {found}, which this program never writes. Restore the file from a backup."


def check_same(store: Store, prepared: Prepared) -> None:
    """Raise OtherSettingsError, which names each difference, if the stored study is not the requested one.

    Raises StorageError if the parameters of a stored trial are not in its space: the sampler could not learn from it.
    """
    stored = store.study()
    _check_model(stored, prepared)
    by_itself = {"weights": {backbone.name: backbone.sha256 for backbone in BY_ITSELF}}
    before = {**by_itself, "race": "none", **stored.config}  # studies of older releases have no race
    if isinstance(trained := before.get("training"), Mapping):  # nor did they say how to compute
        before["training"] = {"precision": PRECISIONS[0], "xla": False, **trained}
    asked = {**by_itself, **prepared.identity}
    if prepared.config.race is None:
        asked["race"] = before["race"]
    found = differences(before, asked)
    other_images = not _has_images_of(stored, prepared)
    if stored.config.get("preset") == prepared.identity["preset"]:
        # The images decide which parameters exist: if the images differ, that difference is reported instead.
        found += _space_differences(stored_space(store), prepared.space, of_both=other_images)
    else:  # differences that follow from another preset are not reported
        follows = (
            "model:",
            "weights",
            *(("training.max_epochs:",) if prepared.config.training.max_epochs is None else ()),
        )
        found = [line for line in found if not line.startswith(follows)]
    if other_images:
        found += image_differences(store, prepared)
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise OtherSettingsError(
            f"this study began with other settings, and its results would not compare:\n{lines}\n"
            "put them back to go on, or begin another study with --dir"
        )
    _check_points(store, prepared.space)


def _check_points(store: Store, space: Space) -> None:
    for trial in store.trials(curves=False):
        try:
            space.check(trial.params)
        except SpaceError as error:
            first = str(error).splitlines()[0]
            found = f"trial {trial.number} with a point that is none of its space ({first})"
            raise StorageError(_never_written(store, found)) from None


def _check_model(stored: StudyRecord, prepared: Prepared) -> None:
    """Check the user's model: it must be named on the command line, because study files never start code."""
    model = stored.config.get("model")
    name = stored.config.get("preset")
    if model is not None and prepared.own is None:
        raise UsageError(
            f"this study searches {name}, your own code, which runs only when you name it: --model PATH/{name}"
        )
    if model is not None and prepared.own is not None and model["sha256"] != prepared.own.file.sha256:
        raise OtherSettingsError(
            f"this study searches {name} as it was when the study began (SHA-256 {model['sha256'][:12]}…), and "
            f"{prepared.own.file.path}, or what it imports from its folder, is another "
            f"(SHA-256 {prepared.own.file.sha256[:12]}…); "
            "put it back to go on, or begin another study with --dir"
        )


def _space_differences(stored: Space, asked: Space, *, of_both: bool) -> list[str]:
    """Each parameter in which two spaces differ, ignoring its help text, source and limits.

    `of_both`: only parameters that are in both spaces.
    """
    old, new = stored.by_name, asked.by_name
    before, after = ({row["name"]: row for row in space.rows()} for space in (stored, asked))
    found = []
    for name in [*old, *(n for n in new if n not in old)]:
        if name not in old or name not in new:
            if of_both:
                continue
            found.append(f"space.{name}: {'is gone' if name in old else 'is new'}")
        elif _essence(old[name]) != _essence(new[name]):
            keys = [k for k in ("range", "default", "when") if before[name][k] != after[name][k]]
            found += [
                f"space.{name}: the study has {k} {before[name][k]}, asked is {after[name][k]}" for k in keys
            ] or [f"space.{name}: the study has {_exactly(old[name])}, asked is {_exactly(new[name])}"]
    return found


def _essence(parameter: Parameter) -> dict[str, Any]:
    """Everything that decides what is drawn, including the types of a choice's values: 1, 1.0 and True are equal."""
    kept = {k: v for k, v in vars(parameter).items() if k not in ("help", "source", "limits", "known")}
    types = [type(v) for v in parameter.values] if isinstance(parameter, Choice) else None
    return {"kind": type(parameter), "types": types, **kept}


def _exactly(parameter: Parameter) -> str:
    """All digits and values, which the table for people shortens."""
    return ", ".join(
        f"{k} {v}" for k, v in vars(parameter).items() if k in ("values", "low", "high", "step", "default")
    )


def _has_images_of(stored: StudyRecord, prepared: Prepared) -> bool:
    """Whether the study has these images; one of an earlier release has a fingerprint of their paths."""
    return stored.fingerprint in (prepared.images.fingerprint, prepared.images.fingerprint_of_paths)


def image_differences(store: Store, prepared: Prepared) -> list[str]:
    """How the images differ from those that the study began with, in lines; empty if they are the same."""
    if _has_images_of(store.study(), prepared):
        return []
    both = store.images(), image_records(prepared.images)
    old, new = ({i.path: (i.label, i.testing, i.digest) for i in images} for images in both)
    kinds = {
        "new": sorted(new.keys() - old.keys()),
        "gone": sorted(old.keys() - new.keys()),
        "changed": sorted(path for path in old.keys() & new.keys() if old[path] != new[path]),
    }
    lines = [
        f"images: {len(paths)} {kind}: {', '.join(map(printable, paths[:5]))}{', …' if len(paths) > 5 else ''}"
        for kind, paths in kinds.items()
        if paths
    ]
    return lines or ["images: they are not the ones that the study began with"]


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Each setting in which `asked` differs from `stored`: 'folds: the study has 5, asked is 10'."""
    found = []
    for key in sorted(stored.keys() | asked.keys()):
        old, new = stored.get(key), asked.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: the study has {_in_words(old)}, asked is {_in_words(new)}")
    return found


def _in_words(value: Any) -> str:
    return "nothing" if value is None else str(value)
