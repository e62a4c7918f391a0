"""What a study of each family chose says the same in every format, of all its pictures, by the real runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.export.agreement import BOUND
from search.export.convert import convert
from search.export.formats import described
from search.export.images import StudyImages, study_images
from search.export.predict import predict
from search.export.wanted import Wanted
from search.jobs import ComposeJob
from search.manifest import about
from search.study import config as toml
from search.study.folder import StudyFolder
from spaces.facts import Facts
from tests.commands import search_here
from tests.kept.studies import BUILDER, STUDIES, copied
from tests.pictures import list_inputs
from tests.search.export.models import BY_NAME, lacking, nothing
from tests.search.worker.test_frozen import needs_weights

pytestmark = pytest.mark.slow  # each trains a study's choice

FAMILIES = [
    "question",
    "cnn",
    pytest.param("frozen", marks=needs_weights),
    pytest.param("fine-tune", marks=needs_weights),
    pytest.param("own", id="own, two models"),
    pytest.param("ensemble", marks=needs_weights),
]
MEMBERS = {"frozen": 0.6, "cnn": 0.4}  # of one set of pictures


def chosen(name: str, home: Path) -> Path:
    """The model that a kept study chose, in Keras's own format; of an ensemble the members' weighted mean."""
    if name == "ensemble":
        return composed(home)
    study = next(one for one in STUDIES if one.name == name)
    copied(study, home / name)
    model = ("--model", BUILDER) if study.own else ()
    done = search_here("export", name, "--to", "model.keras", *model, "--workers", "0", cwd=home / name)
    assert done.returncode == 0, done.stderr
    return home / name / "model.keras"


def composed(home: Path) -> Path:
    from search.worker.packaging import compose

    parts = tuple((chosen(name, home), weight) for name, weight in MEMBERS.items())
    first = about(parts[0][0])
    says = {"classes": list(first.classes), "image_shape": list(first.image_shape), "packaging": first.packaging}
    facts = Facts(*first.image_shape, classes=len(first.classes), images=0)
    rows = np.zeros(0, np.int32)
    compose(ComposeJob(parts, home / "model.keras", says, rows), np.zeros((0, *first.image_shape), np.uint8), facts)
    return home / "model.keras"


def images_of(name: str, model: Path, home: Path) -> tuple[StudyImages, Path]:
    """All pictures of the study, and the folder that they are in."""
    study = next(iter(MEMBERS)) if name == "ensemble" else name
    folder = home / study / study
    return study_images(StudyFolder(folder), described(model), nothing), toml.read(folder).origin(folder).roots[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_format_says_of_every_picture_what_the_study_says(name: str, tmp_path: Path) -> None:
    model = chosen(name, tmp_path)
    images, pictures = images_of(name, model, tmp_path)
    files = list_inputs([pictures])
    assert not images.missing and len(files) == len(images.labels)
    ours = list(predict(model, files))
    assert not any(one.problem for one in ours)
    for to in (one for one in BY_NAME.values() if not lacking(one)):
        target = tmp_path / f"converted{to.suffix}"
        _, measured = convert(model, target, to, Wanted(), images, "balanced_accuracy", nothing)
        assert measured.largest <= BOUND and not measured.differing, to.name
        assert (measured.score, measured.images) == (measured.score_before, len(images.labels))
        for one, other in zip(ours, predict(target, files), strict=True):
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=BOUND, err_msg=to.name)
            assert one.label(described(model).classes) == other.label(described(target).classes)
    if not lacking(to := BY_NAME["LiteRT"]):
        wanted = Wanted("int8", samples=images.samples)
        _, measured = convert(model, tmp_path / "short.tflite", to, wanted, images, "balanced_accuracy", nothing)
        short = [one.label(described(model).classes) for one in predict(tmp_path / "short.tflite", files)]
        differing = sum(one.label(described(model).classes) != said for one, said in zip(ours, short, strict=True))
        assert measured.differing == differing, "those that get another class in 8 bits are counted"
