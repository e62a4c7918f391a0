"""`search report --watch`: the page while a search runs, what ends it, and what is left."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from search.study.lease import leased
from tests.commands import search_here, start, wait_until
from tests.search.session.instant import Instant
from tests.search.session.sessions import new_study, sit

FOLLOWS = "refreshes itself while the search runs"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of two trials, which nobody searches."""
    folder = tmp_path / "study"
    folder.mkdir()
    sit(new_study(folder / "study.db"), Instant(), trials=2)
    return folder


def page_of(study: Path) -> str:
    page = study / "report.html"
    return page.read_text() if page.exists() else ""


def test_ctrl_c_ends_the_watching_with_0_and_leaves_a_page_that_stays(study: Path) -> None:
    with leased(study / "study.lock"):
        watching = start("report", "study", "--watch", cwd=study.parent)
        wait_until(lambda: FOLLOWS in page_of(study))
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=60)
    assert (watching.returncode, err) == (0, "")
    assert out.startswith("watching; Ctrl-C ends: study/report.html\n") and "trial" in out
    assert FOLLOWS not in page_of(study) and "location.reload" not in page_of(study)


@pytest.mark.slow
def test_new_results_come_onto_the_page_and_the_end_of_the_search_ends_the_watching(study: Path) -> None:
    with leased(study / "study.lock"):
        watching = start("report", "study", "--watch", cwd=study.parent)
        wait_until(lambda: FOLLOWS in page_of(study))
        first = page_of(study)
        sit(study / "study.db", Instant(), trials=3)
        wait_until(lambda: page_of(study) != first)
        assert FOLLOWS in page_of(study)
        assert page_of(study).count('<tr class="best"') == 1 and "3 trials" in page_of(study)
    _, err = watching.communicate(timeout=60)
    assert (watching.returncode, err) == (0, "")
    assert FOLLOWS not in page_of(study)


@pytest.mark.slow
def test_watching_goes_on_while_outer_folds_are_searched(study: Path) -> None:
    outer = study / "nested" / "outer-2"
    outer.mkdir(parents=True)
    with leased(outer / "study.lock"):
        watching = start("report", "study", "--watch", cwd=study.parent)
        wait_until(lambda: FOLLOWS in page_of(study))
    _, err = watching.communicate(timeout=60)
    assert (watching.returncode, err) == (0, "")
    assert FOLLOWS not in page_of(study)


def test_a_study_that_nobody_searches_is_shown_once(study: Path) -> None:
    done = search_here("report", "study", "--watch", cwd=study.parent)
    assert done.returncode == 0
    assert done.stdout.startswith("no search of this study runs now, so the page stays as it is\n")
    assert FOLLOWS not in page_of(study)


def test_what_does_not_go_together_is_refused(study: Path) -> None:
    for option in (("--json",), ("--csv",), ("--labels", "x.csv")):
        done = search_here("report", "study", "--watch", *option, cwd=study.parent)
        assert done.returncode == 2
        assert "--watch writes the page alone; leave out --json, --csv and --labels, or --watch" in done.stderr
