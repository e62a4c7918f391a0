"""Mistakes, unsure predictions and labels in doubt, as pictures of the page."""

from __future__ import annotations

import re

import numpy as np
import pytest

from reports.html.page import unbroken
from reports.html.study import render
from reports.html.thumbnails import FINE, SIDE, data_uri
from reports.wording.labels import one_in
from search.results.pictures import Pictures, rows_shown
from search.results.summary import StudySummary
from tests.studies import example, many

CLASSES = ("cats", "dogs", "birds")


def drawn(data: StudySummary, side: int = 8) -> Pictures:
    """A picture for each row that is shown."""
    return Pictures({row: np.full((side, side, 1), row % 256, np.uint8) for row in rows_shown(data)})


@pytest.fixture(scope="module")
def data() -> StudySummary:
    return example(CLASSES, per_class=45).data()


def section(page: str, name: str) -> str:
    start = page.index(f'<section id="{name}">')
    return page[start : page.index("</section>", start)]


def test_each_number_of_mistakes_in_the_matrix_leads_to_pictures_of_them(data: StudySummary) -> None:
    page = render(data, drawn(data))
    links = re.findall(
        r'<a href="#(mistaken-\d+-\d+)" aria-label="(\d+), (\w+) taken for (\w+): pictures">\2</a>', page
    )
    counts = {(CLASSES[m.label], CLASSES[m.predicted]): m.count for m in data.telling.mistakes}
    assert {(label, taken): int(count) for _, count, label, taken in links} == counts
    for name, *_ in links:
        assert len(re.findall(rf'<ul class="shots" id="{name}">', page)) == 1


def test_every_picture_has_a_text_and_is_part_of_the_page(data: StudySummary) -> None:
    page = render(data, drawn(data))
    images = re.findall(r"<img ([^>]*)>", page)
    assert len(images) > 12
    for attributes in images:
        assert re.search(r'src="data:image/png;base64,[\w+/=]+"', attributes)
        assert re.search(r'alt="the picture training/\w+/\d+\.jpg"', attributes)


def test_what_is_shown_of_an_image_is_what_was_predicted(data: StudySummary) -> None:
    shots = section(render(data, drawn(data)), "pictures")
    first = data.telling.mistakes[0].examples[0]
    assert f"<b>{CLASSES[first.predicted]}</b> {first.probability:.2f}" in shots
    unsure = data.telling.unsure[0]
    assert (
        f"<b>{CLASSES[unsure.label]}</b>: {CLASSES[unsure.predicted]} {unsure.probability:.2f}, "
        f"{CLASSES[unsure.second]} {unsure.second_probability:.2f}" in shots
    )
    suspect = data.suspects[0]
    label, likely = CLASSES[suspect.label], CLASSES[suspect.likely]
    said = unbroken(f"labelled <b>{label}</b>, likely <b>{likely}</b>, {one_in(suspect.rarity)}")
    assert said in section(render(data, drawn(data)), "labels")


@pytest.mark.parametrize(
    ("rarity", "said"),
    [
        (0.3, "1 in 3"),
        (0.013, "1 in 77"),
        (0.0034, "1 in 290"),
        (2e-5, "1 in 50,000"),
        (1e-9, "less than 1 in 1,000,000"),
    ],
)
def test_how_rare_a_right_label_of_such_looks_is_has_two_digits(rarity: float, said: str) -> None:
    assert one_in(rarity) == said


def test_the_labels_come_in_the_order_of_what_is_shown(data: StudySummary) -> None:
    rarities = [suspect.rarity for suspect in data.suspects]
    assert rarities == sorted(rarities) and 0 <= rarities[0] <= rarities[-1] <= 1


def test_without_the_images_it_says_so_and_still_names_them(data: StudySummary) -> None:
    missing = "No picture is shown: the image folder, ../pictures, is not there any more."
    page = render(data, Pictures(missing=missing))
    assert page.count(missing) == 1
    assert "<img" not in page
    shots = section(page, "pictures")
    assert shots.count("no picture") == shots.count("<figure>") > 12
    assert data.telling.unsure[0].path in shots.replace("<wbr>", "")


def test_a_study_without_predictions_has_no_such_sections() -> None:
    page = render(example().data(probabilities={}))
    assert 'id="pictures"' not in page and 'id="labels"' not in page
    assert "#pictures" not in page and "#labels" not in page


@pytest.mark.parametrize(("side", "kind"), [(8, "png"), (FINE, "png"), (FINE + 1, "jpeg"), (500, "jpeg")])
def test_small_pictures_keep_every_pixel_and_large_ones_are_small_in_the_page(side: int, kind: str) -> None:
    noise = np.random.default_rng(side).integers(0, 255, (side, side, 3), np.uint8)
    uri = data_uri(noise)
    assert uri.startswith(f"data:image/{kind};base64,")
    assert len(uri) < 4 / 3 * (3 * min(side, SIDE) ** 2 + 200)


def test_with_all_pictures_a_report_of_200_trials_stays_below_3_megabytes() -> None:
    """Noise in colours is the worst that JPEG can be given."""
    records = many(200)
    wide = example([f"class {n}" for n in range(20)], per_class=60)
    data = records.data(
        study=wide.study,
        images=wide.images,
        split=wide.split,
        probabilities={f: p[::-1] for f, p in wide.probabilities.items()},
    )
    rows, random = rows_shown(data), np.random.default_rng(0)
    assert len(rows) > 80
    pictures = Pictures({row: random.integers(0, 255, (96, 96, 3), np.uint8) for row in rows})
    assert len(render(data, pictures).encode()) < 3_000_000
