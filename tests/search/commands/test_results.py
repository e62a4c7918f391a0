"""What the other commands give back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.commands.check import check
from search.commands.diagnose import diagnose
from search.commands.export import Predictions, export, model_of, predict
from search.commands.report import pictures_of, report
from search.commands.request import Settings
from search.commands.space import preview, space_of
from search.results.pictures import Pictures
from search.results.predictions import Prediction
from search.results.shipped import Example, Telling
from search.study.folder import StudyFolder
from spaces.presets import PRESETS
from storage import Store
from tests.search.commands.quiet import Remembering, session
from tests.search.shapes import FOLDER, refusal


def test_a_check_gives_back_what_it_found_and_where_its_page_goes(place: Path) -> None:
    result = check(place / "shapes", Settings(folds=3), display=Remembering())
    assert (result.findings.images, result.findings.testing, result.findings.folds) == (16, 4, 3)
    assert result.page == Path("shapes-check.html") and not result.page.exists()


def test_a_diagnosis_is_of_a_network_that_begins_from_nothing(place: Path) -> None:
    asked, display = Settings(preset="auto"), Remembering()
    assert refusal(lambda: diagnose(place / "shapes", asked, display=display)).startswith(
        "--preset: must be cnn or question, whose networks begin from"
    )


def test_a_report_is_of_a_study_that_has_begun(begun: Store) -> None:
    begun.close()
    result = report(Path(FOLDER))
    assert (result.folder.path, result.summary.images, result.summary.rows) == (Path(FOLDER), 16, ())
    result.folder.database.unlink()
    (begun.path.parent / "study.toml").touch()
    message = refusal(lambda: report(Path(FOLDER)))
    assert message == "study has not begun, so there is nothing to report; `search run study` starts it"


def test_pictures_come_from_the_image_folder_and_what_is_gone_is_told(begun: Store, place: Path) -> None:
    paths = [image.path for image in begun.images()]
    begun.close()
    folder, toml = StudyFolder(Path(FOLDER)), place / FOLDER / "study.toml"
    toml.write_text("images = '../shapes'")
    shown = tuple(Example(row, paths[row], 0, 0, 0.5, 1, 0.5) for row in (2, 0, 1))
    summary = replace(report(Path(FOLDER)).summary, telling=Telling(unsure=shown))
    pictures = pictures_of(folder, summary)
    assert ([*pictures.small], pictures.missing) == ([2, 0, 1], "")
    assert {pixels.shape for pixels in pictures.small.values()} == {(8, 8, 1)}
    (place / "shapes" / paths[0]).unlink()
    pictures = pictures_of(folder, summary)
    assert [*pictures.small] == [2, 1]
    assert pictures.missing.startswith("1 of 3 pictures cannot be shown: they are not in ../shapes any more")
    (place / "shapes").rename(place / "moved")
    gone = Pictures(missing="No picture is shown: the image folder, ../shapes, is not there any more.")
    assert pictures_of(folder, summary) == gone
    toml.write_text("images = 5")
    assert "study.toml, which says where they are, cannot be read" in pictures_of(folder, summary).missing
    assert pictures_of(folder, replace(summary, telling=Telling())) == Pictures()


def test_predictions_name_the_most_probable_class_of_what_was_read() -> None:
    stray, broken = Prediction("notes.txt", problem="is no image", stray=True), Prediction("b.png", problem="cut short")
    result = Predictions(("left", "top"), (Prediction("a.png", (0.2, 0.8)), stray, broken))
    assert result.labels == {"a.png": "top"}
    assert result.unread == [broken]


def test_a_model_that_is_not_there_is_refused_with_what_makes_one(begun: Store, place: Path) -> None:
    begun.close()
    (place / FOLDER / "study.toml").write_text("images = '../shapes'")
    for call in (
        lambda: model_of(Path(FOLDER)),
        lambda: predict(Path(FOLDER), [place / "shapes"], display=Remembering()),
        lambda: export(Path(FOLDER), place / "model.keras", session(Remembering())),
    ):
        assert "no trial is complete, so there is no model; go on with: search resume study" in refusal(call)


@pytest.mark.parametrize("name", PRESETS)
def test_a_space_is_that_of_a_preset(name: str) -> None:
    title, space = space_of(name, display=Remembering())
    assert title == name and space.parameters


def test_a_space_is_that_of_a_study_too(begun: Store, place: Path) -> None:
    begun.close()
    title, space = space_of(FOLDER, display=Remembering())
    assert title == FOLDER and "conv_depth" in space.by_name
    preview(place / "shapes", place / "sheet.png", flip=True, display=Remembering())
    assert (place / "sheet.png").stat().st_size > 1000
