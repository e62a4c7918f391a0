"""The size of images is chosen by evidence where pictures are large, once, and is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reports.terminal.display import TerminalDisplay
from search.data.decoding import FileRemark, Picture, decode, glance
from search.data.images import glance_again, read_images
from search.data.origin import Origin
from search.jobs import Failure, FailureCause, FoldJob, FoldResult, Job, Outcome
from search.session.image_size import compare_sizes, larger_size, planned, with_size
from search.session.prepare import prepare
from search.study.database import create, open_begun
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.study.size_probe import KEY, SizeProbe
from spaces.backbones.lite import LITE0
from storage import RunRecord, TrialRecord
from storage.records import Origin as TrialOrigin
from tests.commands import search_here
from tests.pictures import make_pictures, noise, write
from tests.search.session.instant import Instant
from tests.search.shapes import settings

EACH = 12  # pictures of a class
FOUND = SizeProbe(224, (128, 128), (224, 224), "lite0", "balanced_accuracy", (0.7, 0.9), 0.2, (0.1, 0.3), 300)
SHOWN = TerminalDisplay(quiet=True).reading, TerminalDisplay(quiet=True).training
needs_weights = pytest.mark.skipif(bool(LITE0.problem()), reason="needs the package of weights")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("large") / "pictures", {"a": EACH, "b": EACH}, size=400)


def prepared(pictures: Path, **changes: Any) -> Prepared:
    config = settings(**{"images": str(pictures), "preset": "frozen", "folds": 3, **changes})
    return prepare(config, pictures.parent / "study")


def judged(*right: float) -> Callable[[Job], Outcome]:
    """Heads that know the class of such shares of the images, at the smaller size of a comparison and at the larger."""
    seen: list[int] = []

    def answer(job: Job) -> Outcome:
        assert isinstance(job, FoldJob)
        seen.append(job.trial)
        share = right[(len(seen) - 1) // 3]  # three folds each
        labels = job.validate % (2 * EACH) >= EACH
        known = np.random.default_rng(job.fold).permutation(len(labels)) < share * len(labels)
        says = np.where(known, labels, ~labels).astype(int)
        return FoldResult({}, 1, 1, {}, np.eye(2, dtype=np.float32)[says], 1, 0.1)

    return answer


def found(pictures: Path, *right: float, **changes: Any) -> SizeProbe | None:
    of = prepared(pictures, **changes)
    return compare_sizes(of, pictures.parent / "study", Instant(judged(*right)), *SHOWN)


@needs_weights
def test_the_larger_of_two_sizes_is_taken_where_a_network_clearly_sees_more(large: Path) -> None:
    probe = found(large, 0.5, 1.0, 1.0, 1.0)
    assert probe is not None and probe.is_larger
    assert (probe.side, probe.before, probe.size, probe.images) == (224, (128, 128), (224, 224), 2 * EACH)
    assert (probe.backbone, probe.metric, probe.scores, probe.gain) == ("lite0", "balanced_accuracy", (0.5, 1.0), 0.5)
    further = found(large, 0.5, 0.75, 0.25, 1.0)
    assert further is not None and (further.side, further.before, further.size) == (384, (224, 224), (384, 384))
    same = found(large, 0.75, 0.75)
    assert same is not None and not same.is_larger and same.size == (224, 224)


@needs_weights
def test_a_head_that_fails_decides_nothing(large: Path) -> None:
    executor = Instant(lambda _: Failure(FailureCause.REFUSED, "no head"))
    assert compare_sizes(prepared(large), large.parent, executor, *SHOWN) is None


@needs_weights
@pytest.mark.parametrize(
    ("size", "changes", "larger"),
    [
        (400, {}, (224, 224)),
        (400, {"preset": "auto"}, (224, 224)),
        (400, {"preset": "cnn"}, None),  # from scratch: it costs more, and nothing says quickly whether it pays
        (400, {"image_size": 64}, None),
        (400, {"hours": 0.1}, None),
        (400, {"hours": None}, (224, 224)),
        (400, {"space": {"input_size": [64, 96]}}, None),
        (180, {}, (180, 180)),
        (150, {}, None),  # 1.4 times as many pixels
        (100, {}, None),
    ],
)
def test_it_is_worth_a_comparison_where_nobody_said_a_size_and_pictures_are_larger(
    tmp_path: Path, size: int, changes: dict[str, Any], larger: tuple[int, int] | None
) -> None:
    of = prepared(make_pictures(tmp_path / "pictures", {"a": 3, "b": 3}, size=size), **changes)
    side = min(size, 128) if "image_size" not in changes else 64
    assert larger_size(of, 224, (side, side)) == larger
    words = f"6 pictures are compared at 128 x 128 and {larger[1]} x {larger[0]} pixels" if larger else ""
    assert planned(of).startswith(words) and bool(planned(of)) == bool(larger)


@needs_weights
def test_a_study_goes_on_at_the_size_that_was_chosen_and_compares_no_more(large: Path, tmp_path: Path) -> None:
    config = settings(images=str(large), preset="frozen", folds=3)
    usual = prepare(config, tmp_path / "study")
    chosen = with_size(usual, FOUND, lambda probe: prepare(config, tmp_path / "study", size_probe=probe))
    assert chosen.images.pixels.shape[1:3] == (224, 224) and chosen.facts.side == 224
    assert chosen.space.by_name["input_size"].default == 224
    assert chosen.remarks[-1].startswith(
        "pictures are read at 224 x 224 pixels instead of 128 x 128: balanced_accuracy"
    )
    folder = StudyFolder(tmp_path / "study")
    folder.make()
    with create(folder, chosen) as store:
        assert json.loads(json.dumps(store.study().config))[KEY] == FOUND.plain
        run = store.start_run(
            RunRecord(started="2026-01-01T00:00:00+00:00", command="search run", versions={}, host="here", pid=1)
        )
        trial = TrialRecord(number=0, params=chosen.space.defaults(), origin=TrialOrigin.BASELINE)
        store.add_trial(trial, run=run, seconds=1)
    again = prepare(config, tmp_path / "study")
    assert (again.size_probe, again.images.fingerprint) == (FOUND, chosen.images.fingerprint)
    assert larger_size(again, 384, (224, 224)) is None and not planned(again)
    reopened = open_begun(folder, again)
    assert reopened is not None
    reopened.close()


@needs_weights
def test_pictures_stay_as_they_are_where_the_larger_size_is_not_better(large: Path) -> None:
    usual = prepared(large)
    same = SizeProbe(224, (128, 128), (224, 224), "lite0", "log_loss", (0.5, 0.4), 0.1, (-0.1, 0.3), 24)
    kept = with_size(usual, same, lambda _: pytest.fail("nothing is to be read again"))
    assert (kept.images, kept.space, kept.size_probe) == (usual.images, usual.space, same)
    assert kept.remarks[-1].startswith("pictures are read at 128 x 128 pixels: 224 x 224 is not clearly better")
    assert with_size(usual, None, lambda _: usual) is usual


def test_a_photograph_is_seen_at_a_glance_nearly_as_when_it_is_decoded_whole(tmp_path: Path) -> None:
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    coarse.resize((1600, 1200)).save(tmp_path / "photo.jpg")
    seen, whole = glance(tmp_path / "photo.jpg", (224, 224)), decode(tmp_path / "photo.jpg", (224, 224))
    assert not isinstance(seen, FileRemark) and isinstance(whole, Picture)
    assert np.abs(seen.astype(int) - whole.pixels).mean() < 1
    (tmp_path / "text.jpg").write_text("no picture")
    assert glance(tmp_path / "text.jpg", (8, 8)) == decode(tmp_path / "text.jpg", (8, 8))


def test_some_images_are_read_again_as_all_would_be(large: Path) -> None:
    images = read_images(large, size=(20, 30))
    paths = [images.paths[row] for row in (3, 20, 1)]
    some = glance_again(Origin((large,)), paths, size=(20, 30), scale=images.scale, channels=images.pixels.shape[3])
    assert some is not None and np.array_equal(some, images.pixels[[3, 20, 1]])
    gone = glance_again(Origin((large,)), ["a/none.png"], size=(8, 8), scale=images.scale, channels=1)
    assert gone is None


@given(
    st.dictionaries(
        st.sampled_from([*FOUND.plain, "other"]),
        st.none() | st.integers() | st.floats() | st.text() | st.lists(st.integers() | st.floats(), max_size=3),
    )
    | st.integers()
    | st.text()
)
def test_what_is_stored_is_read_or_refused(plain: Any) -> None:
    assert SizeProbe.of_plain({KEY: FOUND.plain}) == FOUND
    assert SizeProbe.of_plain({}) is None
    changed = {**FOUND.plain, **plain} if isinstance(plain, dict) else plain
    try:
        read = SizeProbe.of_plain({KEY: changed})
    except ValueError as error:
        assert str(error) == "a 'size_probe' that cannot be"
    else:
        assert read is None or (read.side > 0 and len(read.size) == 2 and read.sentence)


def faint_stripes(root: Path, number: int) -> Path:
    """Pictures of 400 pixels of two classes: stripes of two pixels across or along, which 128 pixels show as grey."""
    random = np.random.default_rng(0)
    stripes = (np.arange(400) // 2 % 2 * 12).astype(np.uint8)
    for place in range(number):
        shifted = np.roll(stripes, int(random.integers(4)))
        across = shifted[:, None] if place % 2 else shifted[None, :]
        write(root / "ab"[place % 2] / f"{place}.png", Image.fromarray(noise(random, 400) + across))
    return root


@needs_weights
@pytest.mark.slow
def test_detail_that_is_lost_at_the_usual_size_is_found(tmp_path: Path) -> None:
    pictures = faint_stripes(tmp_path / "pictures", 60)
    arguments = ("--preset", "frozen", "--trials", "1", "--folds", "2", "--no-flip")
    told = search_here("run", pictures, *arguments, "--dry-run", cwd=tmp_path).stdout
    assert "before that, 60 pictures are compared at 128 x 128 and 224 x 224 pixels" in told
    ran = search_here("run", pictures, *arguments, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "pictures are read at 224 x 224 pixels instead of 128 x 128: balanced_accuracy" in ran.stdout
