"""A study's model in another format: converted, read back, compared with the model, and only then put in its place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from search.errors import RunError, UsageError
from search.export.agreement import BOUND, agreement
from search.export.formats import Format, loaded
from search.export.images import StudyImages
from search.export.loaded import check_installed
from search.export.predict import load_model
from search.export.wanted import Wanted
from search.files import replacing
from search.manifest import stored
from search.native import no_stderr
from search.results.agreement import Agreement


def check_wanted(to: Format, wanted: Wanted) -> None:
    """Raises UsageError for what a format cannot do, or where its converter is not installed."""
    if wanted.quantize and wanted.quantize not in to.quantize:
        can = ", ".join(to.quantize)
        rule = f"must be one of {can} for {to.name}" if can else f"is for .tflite files only, not for {to.name}"
        raise UsageError(f"--quantize: {rule}, got {wanted.quantize}")
    if wanted.batch is not None and wanted.batch < 1:
        raise UsageError(f"--batch: must be at least 1, got {wanted.batch}")
    check_installed(to.modules, f"--to: writing {to.name}")


def convert(
    original: Path,
    target: Path,
    to: Format,
    wanted: Wanted,
    images: StudyImages,
    metric: str,
    progress: Callable[[int, int], None],
) -> tuple[Mapping[str, Any], Agreement]:
    """Write the model of the .keras file `original` to `target`. Returns what the file says of itself, and how it does.

    `metric`, `progress`: see `agreement`. Raises UsageError or OSError, and RunError where the converter fails, or
    where no number was shortened and a probability differs by more than BOUND: then nothing is written.
    """
    before = load_model(original)
    about = json.loads(stored(original))
    about.pop("remembered", None)
    with _placed(target, folder=not to.suffix) as partial:
        try:
            with no_stderr():  # converters tell much
                said = to.write(before, partial, wanted, about)
            after = loaded(partial, to)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise RunError(f"{target} is not written: {to.name} cannot hold this model: {first}") from error
        shown = (images.pixels, images.labels, images.testing)
        measured = agreement(before, after, partial, shown, metric, progress)
        if not wanted.quantize and not measured.largest <= BOUND:  # NaN too
            raise RunError(
                f"{target} is not written: a probability of the converted model differs by {measured.largest:.2g} from "
                f"the study's model, at most {BOUND:g} is accepted"
            )
    return said, measured


@contextlib.contextmanager
def _placed(target: Path, *, folder: bool) -> Iterator[Path]:
    """A file or folder beside `target` that takes its place at the end. Raises OSError."""
    if not folder:
        with replacing(target) as partial:
            yield partial
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        if target.exists():  # an earlier export, or empty: `check_target` has looked
            shutil.rmtree(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
