"""The pre-trained networks available to a study: the package's, files named in `[weights]`, and Keras's cache."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.study.config import FILE, FROM_KERAS, Config
from search.text import printable
from spaces.backbones import Backbone, BackboneError, folder, hub_download, lite
from spaces.backbones.applications import ARCHITECTURES, Application, cached, download, opened
from spaces.parameters import nearest

TITLES = {one.name: one.title for one in lite.PACKAGED} | {name: one.title for name, one in ARCHITECTURES.items()}
NAMES = tuple(TITLES)
"""The preferred one first."""

MAX_SHOWN = 100  # characters of an invalid path in a message


@dataclass(frozen=True)
class AvailableBackbones:
    """The backbones of a study, and what is left of its `[space]`."""

    backbones: tuple[Backbone, ...]
    space: Mapping[str, Any]  # `[space]` without its backbones, which `backbones` is narrowed to
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Unavailable:
    """Why a backbone is not available."""

    reason: str
    odd: bool = False  # whether to report it although nobody named this backbone: for a damaged file in the cache


def find_backbones(
    config: Config, study: Path, begun: Collection[str] | None = None, *, needed: bool = True
) -> AvailableBackbones:
    """The backbones available to the study in the folder `study`: files are checked and hashed, but not loaded.

    `begun`: the backbones that the study began with; None: it has not begun. Networks added to the cache since then
    are ignored, so that the study can continue. Raises UsageError if a file named in `[weights]` is invalid, or if no
    backbone is available although one is `needed` or the study began with one.
    """
    asked = _asked(config)
    named = {*(asked or ()), *config.weights}
    expected = named | {*(begun or ())}
    found: list[Backbone] = []
    missing: dict[str, Unavailable] = {}
    for name in dict.fromkeys((*NAMES, *config.weights, *(begun or ()))):
        skipped = begun is not None and name not in begun and name not in named
        if skipped or (asked is not None and name not in asked):
            continue
        known = _found(name, config.weights.get(name), study)
        if isinstance(known, Unavailable):
            missing[name] = known
        else:
            found.append(known)
    if not found and (needed or begun):
        raise UsageError(f"preset {config.preset}: {_nothing(missing, named)}")
    remarks = [_in_words(backbone) for backbone in found if isinstance(backbone, Application | folder.FolderBackbone)]
    left_out = {name: why for name, why in missing.items() if name in expected or why.odd}
    remarks += [f"{TITLES.get(name, name)} is left out: {why.reason}" for name, why in left_out.items()]
    if missing and not found and not begun:
        remarks = [f"families with a pre-trained network are left out: {_nothing(missing, named)}"]
    space = {key: change for key, change in config.space.items() if key != "backbone" or asked is None}
    return AvailableBackbones(tuple(found), space, tuple(map(printable, remarks)))


def every_backbone() -> dict[str, Backbone | Unavailable]:
    """Every network that this release knows, by name, the preferred one first, as it is at hand without a study."""
    found = {name: _found(name, None, Path()) for name in NAMES}
    advice = (
        'in [weights] of study.toml: {0} = "FILE.h5", its weights without the classes, or {0} = "keras", which lets '
    )
    advice += "Keras download them"
    return {
        name: Unavailable(advice.format(name)) if name in ARCHITECTURES and _is_plainly_missing(one) else one
        for name, one in found.items()
    }


def _is_plainly_missing(one: Backbone | Unavailable) -> bool:
    return isinstance(one, Unavailable) and not one.odd


def _asked(config: Config) -> tuple[str, ...] | None:
    """The backbones that `[space]` names; None if it names none, or has an invalid value, which is reported later."""
    asked = config.space.get("backbone")
    names = [asked] if isinstance(asked, str) else asked
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    known = tuple(dict.fromkeys((*NAMES, *config.weights)))
    for name in names:
        if name not in known:
            raise UsageError(
                f"[space] of {FILE}, preset {config.preset}: backbone: must be of {', '.join(known)}, got '{name}'; "
                f"{nearest(name, known)}"
            )
    return tuple(names)


def _found(name: str, given: str | None, study: Path) -> Backbone | Unavailable:
    packaged = next((one for one in lite.PACKAGED if one.name == name), None)
    if packaged:
        problem = packaged.problem()
        return Unavailable(problem) if problem else packaged
    if given is None:
        return _from_cache(name) if name in ARCHITECTURES else Unavailable(f"its folder is not in [weights] of {FILE}")
    try:
        path = _path(name, given, study)
        if not path.exists():
            raise BackboneError(f"{path} does not exist")
        return opened(name, path) if name in ARCHITECTURES else _in_folder(name, path)
    except BackboneError as error:
        raise UsageError(f"weights.{name}: {error}; correct it in {FILE}, or take the line out") from None


def _path(name: str, given: str, study: Path) -> Path:
    """Of what `[weights]` says; downloaded where it says so. Raises BackboneError."""
    if given == FROM_KERAS and name in ARCHITECTURES:
        return download(name)
    return hub_download.download(given) if hub_download.is_name(given) else _named(given, study)


def _in_folder(name: str, path: Path) -> Backbone:
    """Raises BackboneError for what is no such folder: then the name may be a wrong one of keras.applications."""
    if folder.is_folder(path):
        return folder.opened(name, path)
    raise BackboneError(
        f"{path} is no folder with a {folder.CONFIG}; a file of weights needs a name of {', '.join(ARCHITECTURES)}; "
        f"{nearest(name, list(ARCHITECTURES))}"
    )


def _named(given: str, study: Path) -> Path:
    """The absolute path; '~' is a home, and it is relative to the study. Raises BackboneError for an invalid path."""
    shown = printable(given if len(given) < MAX_SHOWN else f"{given[:MAX_SHOWN]}…")
    try:
        path = (study / Path(given).expanduser()).resolve()
        path.exists()
    except RuntimeError:
        raise BackboneError(f"'{shown}' begins with the home of a user who is not known here") from None
    except (OSError, ValueError) as error:  # too long, or with a null character
        raise BackboneError(f"'{shown}' cannot be looked at: {getattr(error, 'strerror', None) or error}") from None
    return path


def _from_cache(name: str) -> Backbone | Unavailable:
    try:
        there = cached(name).is_file()
    except OSError:  # no permission
        there = False
    if not there:
        return Unavailable(f"it has no weights; name a file of them in [weights] of {FILE}")
    try:
        return opened(name, cached(name))
    except BackboneError as error:
        return Unavailable(str(error), odd=True)


def _nothing(missing: Mapping[str, Unavailable], named: Collection[str]) -> str:
    package = missing.get(lite.PACKAGED[0].name)
    if named or package is None:  # backbones that were named, or that the study began with
        told = {name: why for name, why in missing.items() if not named or name in named}
        return "; ".join(f"{TITLES.get(name, name)}: {why.reason}" for name, why in told.items())
    return f"{package.reason}, or name a file of weights in [weights] of {FILE} ({', '.join(ARCHITECTURES)})"


def _in_words(backbone: Application | folder.FolderBackbone) -> str:
    size = f"{backbone.bytes / 1e6:.0f} MB"
    return f"weights of {backbone.title}: SHA-256 {backbone.sha256[:16]}…, {size}, from {backbone.path}"
