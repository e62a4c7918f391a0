"""Commands for a study that has begun, complete: with `--model` for a study that searches a user's model."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from search.errors import UsageError
from search.study.folder import StudyFolder
from spaces import SpaceError
from spaces.custom.file import ModelFile, named
from storage import Store, needs_upgrade

_MAX_RUNS = 20  # the latest sessions, in whose commands the file is looked for


def resume_command(folder: StudyFolder, *options: str, own: ModelFile | None = None) -> str:
    """`search resume STUDY OPTIONS`, for an outer fold of the study that it belongs to.

    `own`: the user's model in this session; None: a preset is searched. See `stored_model` for other sessions.
    """
    return folder.parent.command("resume", *options, *(("--model", as_typed(own)) if own else ()))


def stored_command(folder: StudyFolder, store: Store, verb: str, *options: str | Path) -> str:
    """`search VERB STUDY OPTIONS` for a study that no session has prepared, with `--model` where it needs one."""
    model = stored_model(folder, store)
    return folder.parent.command(verb, *options, *(("--model", model) if model else ()))


def check_named(folder: StudyFolder, own: ModelFile | None, verb: str, *options: str | Path) -> None:
    """Raises UsageError, with the command that works, if a study searches a user's model and `own` is None.

    Code runs only when it is named on the command line. This is known before the images are read.
    """
    if own or not folder.begun or needs_upgrade(folder.database):
        return
    with folder.read() as store:
        if stored_model(folder, store) is not None:
            raise UsageError(
                f"this study searches {store.study().config['preset']}, your own code, which runs only when you name "
                f"it: {stored_command(folder, store, verb, *options)}"
            )


def as_typed(own: ModelFile) -> str:
    """`--model` of a file: its path from the current folder if it is below, else the absolute path."""
    path = Path(own.path)
    with suppress(ValueError, OSError):  # elsewhere, or the current folder was removed
        path = path.relative_to(Path.cwd())
    return f"{'./' if str(path).startswith('-') else ''}{path}:{own.function}"


def stored_model(folder: StudyFolder, store: Store) -> str | None:
    """`--model` of a study, such as 'net.py:build'; None for a study that searches a preset.

    The study stores only the file's name and checksum. Its path is that of an earlier command, or of a file of this
    name here or beside the study, but only if the file is unchanged; else it is the placeholder 'PATH/net.py:build'.
    Only reads files, runs nothing.
    """
    config = store.study().config
    if not isinstance(stored := config.get("model"), Mapping):
        return None
    name, sha256 = str(config.get("preset")), stored.get("sha256")
    typed = dict.fromkeys(model for run in store.runs()[-_MAX_RUNS:] for model in _models_in(run.command))
    # In a study of a stranger it could be any file: only those that are named as a Python file are read.
    for model in [model for model in (*reversed(typed), name) if Path(model).name == name and ".py:" in name]:
        for base in (Path(), folder.parent.path.parent):
            with suppress(SpaceError, OSError, ValueError):  # no such file, or no path at all
                file = named(str(base / model))
                if (file.name, file.sha256) == (name, sha256):
                    return as_typed(file)
    return f"PATH/{name}"


def _models_in(command: str) -> Iterator[str]:
    """The values of `--model` in a command line."""
    with suppress(ValueError):  # unbalanced quotes
        for word, following in pairwise([*shlex.split(command), ""]):
            if word == "--model":
                yield following
            elif word.startswith("--model="):
                yield word.removeprefix("--model=")
