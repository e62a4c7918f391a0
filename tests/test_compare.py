"""`search compare` on real studies: what is shown, what is tested, and what is said where nothing can be."""

from __future__ import annotations

import io
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import search
from reports.compare_as_json import comparison_as_json
from reports.terminal.compare import show_comparison
from reports.wording.compare import facts, settings
from reports.wording.values import NONE
from search.results.compare import Comparison, Setting, compare
from search.results.stored import StoredStudy
from search.results.summary import summarise
from spaces.backbones.lite import LITE0
from storage.records import ChoiceRecord, TrialState
from tests.commands import search_here
from tests.kept.studies import HERE, STUDIES
from tests.studies import EXPECTED, example


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the kept studies."""
    folder = tmp_path_factory.mktemp("compared")
    for study in STUDIES:
        shutil.copytree(HERE / study.name, folder / study.name)
    return folder


def printed(home: Path, *names: str) -> str:
    done = search_here("compare", *names, cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def as_json(home: Path, *names: str) -> Any:
    done = search_here("compare", *names, "--json", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    return json.loads(done.stdout, parse_constant=refuse)


def test_studies_of_the_same_images_and_folds_are_tested_image_by_image(home: Path) -> None:
    text = " ".join(printed(home, "question", "fine-tune").split())
    data = as_json(home, "question", "fine-tune")
    (versus,) = data["against_first"]
    found = versus["out_of_fold"]
    assert found["low"] <= found["value"] <= found["high"]
    assert found["images"] <= data["studies"][0]["study"]["images"] and found["folds"] == 2
    assert "fine-tune" in text and "the same 33" in text
    assert "in the same 2 folds, each judged by what its study would have chosen without its fold" in text


def test_where_the_folds_differ_nothing_is_tested_and_the_reason_is_given(home: Path) -> None:
    (versus,) = as_json(home, "question", "auto")["against_first"]
    assert versus["out_of_fold"] is None and versus["testing"] is None
    assert versus["why_not"] == [
        "their folds are not the same (2 folds with seed 7 and 3 folds with seed 7), so no image was judged by models "
        "of the same images"
    ]
    text = " ".join(printed(home, "question", "auto").split())
    assert "auto and question are not tested against each other: their folds are not the same" in text


def test_other_pictures_and_other_metrics_are_told(home: Path) -> None:
    data = as_json(home, "question", "frozen", "cnn")
    assert [study["same_pictures"] for study in data["studies"]] == [True, False, False]
    assert data["against_first"][0]["why_not"] == ["their classes are not the same"]
    assert data["against_first"][1]["why_not"] == [
        "they were searched for different metrics, balanced_accuracy and log_loss"
    ]
    assert "others: " in printed(home, "question", "frozen")


def test_settings_that_differ_are_listed_and_no_others(home: Path) -> None:
    settings = {row["name"]: row["values"] for row in as_json(home, "question", "fine-tune")["settings"]}
    assert settings["preset"] == ["question", "fine-tune"]
    assert "seed" not in settings and "metric" not in settings
    assert not any(name.startswith("space.") for name in settings), "spaces of other presets share nothing"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("question",), "compare needs two studies at least, got question alone; name another: search compare A B"),
        (("question", "question/../question"), "is the same study as question; name each study once"),
        (("question", "nowhere"), "nowhere does not exist; `search run IMAGES` makes a study"),
    ],
)
def test_what_cannot_be_compared_is_refused(home: Path, arguments: tuple[str, ...], message: str) -> None:
    done = search_here("compare", *arguments, cwd=home)
    assert done.returncode == 2 and message in done.stderr and not done.stdout


def test_a_study_that_has_not_begun_is_named(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "question", tmp_path / "question")
    (tmp_path / "new").mkdir()
    shutil.copy(home / "question" / "study.toml", tmp_path / "new")
    done = search_here("compare", "question", "new", cwd=tmp_path)
    assert done.returncode == 2 and "new has not begun" in done.stderr


def test_python_has_the_same(home: Path) -> None:
    compared = search.compare([home / "question", search.open_study(home / "fine-tune")])
    assert [data.preset for data in compared.studies] == ["question", "fine-tune"]
    assert compared.versus[0].by_folds is not None
    with pytest.raises(search.UsageError, match="two studies at least"):
        search.compare([home / "question"])


# Studies made by hand


def stored() -> StoredStudy:
    """A study whose trial 7 was kept with its predictions."""
    records = example()
    records = replace(records, others={7: records.probabilities})
    return StoredStudy(
        study=records.study,
        images=records.images,
        split=records.split,
        trials=records.trials,
        runs=records.runs,
        best=records.probabilities,
        evidence=records.evidence,
    )


def lines(*studies: tuple[str, StoredStudy], width: int = 100, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    show_comparison(compare(studies), Console(file=stream, width=width, color_system=None, highlight=False))
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(encoding)


def test_a_study_does_not_differ_from_itself() -> None:
    one = stored()
    compared = compare([("a", one), ("b", one)])
    assert compared.settings == () and compared.same_pictures == (True, True)
    found = compared.versus[0].by_folds
    assert found and found.value == 0 and not found.clear
    text = " ".join(lines(("a", one), ("b", one)).split())
    assert "All settings are alike." in text
    assert "No clear difference between b and a: +0.000 balanced accuracy" in text


def test_pictures_may_have_moved_and_be_read_at_another_size() -> None:
    one = stored()
    moved = tuple(replace(image, path=f"elsewhere/{image.path}") for image in one.images)
    study = replace(one.study, fingerprint="another", image_shape=(64, 64, 3))
    compared = compare([("a", one), ("b", replace(one, images=moved, study=study))])
    assert compared.same_pictures == (True, True) and compared.versus[0].by_folds is not None
    fewer = replace(one, images=tuple(replace(image, digest=f"{image.row:x}") for image in one.images))
    (reason,) = compare([("a", one), ("b", fewer)]).versus[0].why_not
    assert reason.startswith("their pictures are not the same: 0 of 120 and 120 are in both")


def test_the_same_pictures_in_another_order_are_called_so_and_copies_are_counted() -> None:
    one = stored()
    digests = [image.digest for image in one.images]
    same = [n for n, image in enumerate(one.images) if image.label == one.images[0].label]
    digests[same[0]], digests[same[1]] = digests[same[1]], digests[same[0]]
    compared = compare([("a", one), ("b", with_digests(one, digests))])
    assert compared.same_pictures == (True, True)
    assert compared.versus[0].why_not == (
        "their pictures are the same, but in another order, as files have other names",
    )
    copies = [f"{image.label}" for image in one.images]
    other = with_digests(one, ["new", *copies[1:]])
    (reason,) = compare([("a", with_digests(one, copies)), ("b", other)]).versus[0].why_not
    assert reason == "their pictures are not the same: 119 of 120 and 120 are in both"


def with_digests(one: StoredStudy, digests: list[str]) -> StoredStudy:
    pairs = zip(one.images, digests, strict=True)
    return replace(one, images=tuple(replace(image, digest=digest) for image, digest in pairs))


def test_a_study_without_a_finished_fold_is_not_tested() -> None:
    one = stored()
    none = tuple(replace(trial, state=TrialState.RUNNING, folds=()) for trial in one.trials[:1])
    compared = compare([("a", one), ("b", replace(one, trials=none, evidence=None, best={}))])
    assert compared.versus[0].why_not[0] == (
        "one of them has no finished fold yet, or only trials that failed or stayed at chance"
    )


def test_a_saved_model_of_trials_that_do_not_count_any_more_is_told() -> None:
    one = stored()
    saved = ChoiceRecord("2026-01-01T00:00:00+00:00", 3, ((3, 1.0),), (3,), 44, 1.0, None)
    assert one.evidence and 3 not in one.evidence.numbers
    assert compare([("a", one), ("b", replace(one, choices=(saved,)))]).versus[0].why_not[0] == (
        "the saved model of one of them is of trials that cannot be compared with its others any more"
    )


def test_json_is_strict_whatever_settings_say_and_however_few_images_there_are() -> None:
    one = stored()
    odd = replace(one.study, config={**one.study.config, "odd": math.nan, "list": [math.inf]})
    told = comparison_as_json(compare([("a", one), ("b", replace(one, study=odd))]))
    json.dumps(told, allow_nan=False)
    values = {row["name"]: row["values"] for row in told["settings"]}
    assert values["list"] == [None, [None]]


def test_where_folds_differ_the_saved_models_are_compared_on_the_same_testing_images() -> None:
    one = stored()
    labels = one.labels[[image.testing for image in one.images]]
    right = np.eye(2, dtype=np.float32)[labels]
    saved = ChoiceRecord("2026-01-01T00:00:00+00:00", 7, ((7, 1.0),), (7,), 44, 1.0, right)
    good = replace(one, choices=(saved,))
    other = replace(one.split, assignment=_turned(one))
    bad = replace(good, split=other, choices=(replace(saved, probabilities=1 - right),))
    (versus,) = compare([("a", good), ("b", bad)]).versus
    assert versus.by_folds is None and versus.by_testing is not None
    assert (versus.by_testing.value, versus.by_testing.images, versus.by_testing.folds) == (-1.0, len(labels), 0)
    text = " ".join(lines(("a", good), ("b", bad)).split())
    assert "b is worse than a by 1.000 balanced accuracy (0.380 to 1.000 with 95 % confidence)" in text
    assert f"on the same {len(labels)} testing images" in text
    assert "b and a: their folds are not the same, so no image" in text
    unsaved = replace(bad, choices=())
    (versus,) = compare([("a", good), ("b", unsaved)]).versus
    assert versus.why_not[1] == "one of them has no saved model yet, so the testing images were not used"


def test_testing_images_that_one_model_had_no_time_for_are_not_compared() -> None:
    one = stored()
    labels = one.labels[[image.testing for image in one.images]]
    right = np.eye(2, dtype=np.float32)[labels]
    few = np.where(np.arange(len(labels))[:, None] % 2, right, np.nan).astype(np.float32)
    saved = ChoiceRecord("2026-01-01T00:00:00+00:00", 7, ((7, 1.0),), (7,), 44, 1.0, right)
    whole = replace(one, choices=(saved,))
    part = replace(one, split=replace(one.split, assignment=_turned(one)), choices=(replace(saved, probabilities=few),))
    (versus,) = compare([("whole", whole), ("part", part)]).versus
    assert versus.by_testing is not None and (versus.by_testing.value, versus.by_testing.images) == (
        0,
        len(labels) // 2,
    )
    chosen = summarise(part).chosen
    assert chosen and chosen.test and (chosen.test.images, chosen.test.value) == (len(labels) // 2, 1.0)


def test_many_studies_and_hostile_names_fit_a_narrow_terminal() -> None:
    one = stored()
    other = replace(one, study=replace(one.study, seed=9), split=replace(one.split, assignment=_turned(one)))
    named = [(f"study-{n}\x1b[2J\n[red]" * 4, other if n % 2 else one) for n in range(5)]
    text = lines(*named, width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert not set("\x1b\r") & set(text)
    assert lines(*named, width=60, encoding="ascii").isascii()


def _turned(one: StoredStudy) -> Any:
    assignment = one.split.assignment
    return np.where(assignment >= 0, (assignment + 1) % (assignment.max() + 1), -1).astype(np.int16)


def test_an_estimate_that_rests_on_few_pictures_is_not_shown() -> None:
    data = replace(example().data(), estimate=replace(EXPECTED, images=22))
    (cells,) = (
        cells for name, cells in facts(Comparison(("a",), (data,), (True,), (), ())) if name.startswith("expected")
    )
    assert cells == ["too early to say: 22 of 110 images tested"]


def test_image_sizes_are_told_in_pixels_width_first() -> None:
    data = example().data()
    sizes = Setting("image_size", ([24, 32], None))
    assert settings(Comparison(("a", "b"), (data, data), (True, True), (sizes,), ())) == [
        ("image_size", ["32 x 24 pixels", NONE])
    ]


def test_pre_trained_networks_are_told_by_name_and_by_their_content_where_one_name_has_two() -> None:
    one = stored()

    def told(*weights: dict[str, str] | None) -> list[Any]:
        configs = [{"preset": "frozen", **({} if of is None else {"weights": of})} for of in weights]
        studies = [(str(n), replace(one, study=replace(one.study, config=c))) for n, c in enumerate(configs)]
        return [setting.values for setting in compare(studies).settings]

    assert told(None, {"lite0": LITE0.sha256}) == []
    assert told(None, {"lite0": LITE0.sha256, "vgg16": "a" * 64}) == [("lite0", "lite0, vgg16")]
    assert told({"vgg16": "a" * 64}, {"vgg16": "b" * 64}) == [
        ("vgg16 (SHA-256 aaaaaaaa…)", "vgg16 (SHA-256 bbbbbbbb…)")
    ]
