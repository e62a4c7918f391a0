"""axe-core, which checks the rules of WCAG, finds nothing serious on any page: light and dark, wide and on a phone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from playwright.sync_api import Browser

from reports.html import diagnosis, images
from reports.html.study import write
from search.results.pictures import Pictures, rows_shown
from search.results.summary import StudySummary
from tests.reports.html.test_browser import checked, freed
from tests.reports.html.test_explain import LENET
from tests.reports.html.test_sections_browser import OPEN_ALL, whole
from tests.studies import with_choice, with_parts

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

SERIOUS = {"serious", "critical"}
RULES = {"resultTypes": ["violations"]}


def everything() -> StudySummary:
    """A study with all sections: an ensemble, pictures, labels, a learning curve, an explanation, importance."""
    records, measured = whole(), with_parts(0.6, 0.7, 0.75, 0.78, spread=0.005)
    data = replace(records, references=measured.references, parts=measured.parts).data()
    return replace(data, explanation=LENET, calibrated=with_choice().data().calibrated)


def pages(folder: Path) -> dict[str, Path]:
    data, random = everything(), np.random.default_rng(0)
    small = {row: random.integers(0, 255, (32, 32, 3), np.uint8) for row in rows_shown(data)}
    found = {name: folder / f"{name}.html" for name in ("report", "check", "diagnose")}
    write(data, found["report"], Pictures(small))
    images.write(checked(), found["check"])
    diagnosis.write(freed(), found["diagnose"])
    return found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_nothing_serious_is_found(
    browser: Browser, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    found: list[Any] = []
    for name, path in pages(tmp_path).items():
        page.goto(path.as_uri())
        page.evaluate(OPEN_ALL)
        if name == "report":
            sections = page.eval_on_selector_all("main > section", "all => all.map(each => each.id)")
            assert {"labels", "pictures", "calibration", "more", "explain", "costs", "parameters"} <= set(sections)
        for broken in axe.Axe().run(page, options=RULES).response["violations"]:
            if broken["impact"] in SERIOUS:
                found += [(name, broken["id"], node["target"]) for node in broken["nodes"][:3]]
    page.close()
    assert found == []
