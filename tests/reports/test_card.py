"""The card of a model: what it was trained on, how good it is, how it was chosen, what it may not be used for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reports.card import render, write
from reports.show import export_warnings
from reports.wording.exported import lines
from search.results.agreement import Agreement
from search.results.backbones import ListedBackbone
from search.results.calibrated import Calibrated
from search.results.exported import Exported
from search.stats.calibration import Correction, Reliability
from tests.reports.test_markdown import HOSTILE
from tests.studies import a_test, judged

LITE0 = ListedBackbone("lite0", "EfficientNet-Lite0", "a package", "Apache-2.0", "ab" * 32, 9)
MEASURED = Agreement(
    images=150,
    largest=0.031,
    differing=3,
    judged=40,
    testing=True,
    metric="balanced_accuracy",
    score=0.9,
    score_before=0.925,
    bytes=1_400_000,
    milliseconds=2.34,
    milliseconds_before=5.0,
)


@pytest.fixture
def done() -> Exported:
    summary = judged(a_test(0.85, 0.75, 0.95))
    return Exported(
        path=Path("here") / "model.tflite",
        image_shape=(64, 64, 3),
        classes=summary.study.classes,
        summary=summary,
        backbones=(LITE0,),
        format="LiteRT",
        says={"quantized": "int8", "batch": None},
        agreement=MEASURED,
    )


def test_it_has_data_counts_estimate_choice_limits_and_licences(done: Exported) -> None:
    text = render(done)
    assert text.startswith("# cats and dogs\n\nAn image classifier of 2 classes, model.tflite.")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        "How to use it",
        "What it was trained on",
        "How good it is",
        "Each class",
        "How it was chosen",
        "Limits",
        "Licences",
    ]
    for name, count in zip(done.classes, done.summary.class_counts, strict=True):
        assert f"| {name} | {count} |" in text
    assert "the model that was saved is right about" in text and "95 % interval" in text
    assert "| EfficientNet-Lite0 | Apache-2.0 | a package | abababababababab |" in text
    assert "| format | LiteRT, int8 |" in text


def test_sizes_are_width_by_height_and_the_score_is_in_the_metric_of_the_report(done: Exported) -> None:
    wide = replace(done, image_shape=(48, 64, 3))
    assert "64 x 48 (width x height), 3 channels" in render(wide) and "squeezed to 64 x 48 (width x" in render(wide)
    assert "input: pixels 0 to 255, 64 x 48 (width x height), 3 channels" in lines(wide)
    surprised = replace(MEASURED, metric="log_loss", score=0.31, score_before=0.3)
    assert "log loss 0.310 on 40 testing images (the model: 0.300)" in render(replace(done, agreement=surprised))


def test_without_a_pre_trained_network_there_is_no_licence_of_others(done: Exported) -> None:
    assert "no weights of others" in render(replace(done, backbones=()))


def test_names_are_never_markup(done: Exported) -> None:
    study = replace(done.summary.study, name=HOSTILE, classes=(HOSTILE, "dogs"), notes=(HOSTILE,))
    text = render(replace(done, classes=study.classes, summary=replace(done.summary, study=study)))
    assert "<script>" not in text and "[x](" not in text and "\x1b" not in text and "\u202e" not in text


def test_it_lies_beside_the_model_and_each_format_has_its_own(done: Exported, tmp_path: Path) -> None:
    for name, card in (
        ("model.tflite", "model.tflite.card.md"),
        ("model.onnx", "model.onnx.card.md"),
        ("saved", "saved.card.md"),
    ):
        assert write(replace(done, path=tmp_path / name)) == tmp_path / card
        assert (tmp_path / card).read_text().endswith("\n")


def test_the_card_of_code_says_that_it_is_no_model(done: Exported) -> None:
    assert render(done).splitlines()[2].startswith("An image classifier of 2 classes, model")
    code = render(replace(done, path=Path("train.py"), format="Python", agreement=None))
    assert code.splitlines()[2].startswith("train.py is no model but code that trains one: an image classifier of 2 ")


@pytest.mark.parametrize("correction", [Correction(), Correction(1.41, 0.02)])
def test_it_says_who_corrects_how_sure_the_model_is(done: Exported, correction: Correction) -> None:
    reliable = Reliability((), 0.01, 0.01)
    done = replace(done, summary=replace(done.summary, calibrated=Calibrated(correction, reliable, reliable)))
    assert ("temperature 1.41" in render(done)) is not correction.is_none
    assert ("Only search predict does so" in render(done).replace("`", "").replace("\\", "")) is not correction.is_none
    assert "how sure it is" in render(done)
    assert "how sure it is" not in render(replace(done, format="Python"))


def test_lost_accuracy_is_said_loudly_and_a_point_or_less_is_not(done: Exported) -> None:
    (said,) = export_warnings(done)
    assert said.startswith("WARNING: LiteRT, int8 costs 2.5 points of balanced accuracy: here/model.tflite has")
    assert not export_warnings(replace(done, agreement=replace(MEASURED, score=0.915)))
    (said,) = export_warnings(replace(done, agreement=None, missing=2))
    assert said == "2 images of the study are not there any more, or were changed: not compared"


def test_what_was_written_is_said_with_the_command_that_tries_it(done: Exported) -> None:
    said = "\n".join(lines(done))
    assert "wrote here/model.tflite; try it: search predict here/model.tflite PICTURES" in said
    assert (
        "LiteRT, int8: on 150 images of the study its probabilities differ by at most 3.1e-02 from the model's, and 3 "
        "images get another class; 1.4 MB, 2.3 ms an image alone (in Keras 5.0); balanced accuracy 90.0 % on 40 "
        "testing images (the model: 92.5 %)"
    ) in said
