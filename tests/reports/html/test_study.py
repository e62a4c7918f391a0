"""The page as text: its contents, its security policy, and how it is written."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from reports.html.model_diagram import architecture
from reports.html.study import render, write
from reports.wording import study as words
from reports.wording import values
from reports.wording.values import masked
from search.results import importance
from search.results.importance import figures
from spaces import Space
from spaces.parameters import When, choice
from storage.records import LayerRecord, TrialRecord, TrialState
from tests.studies import Records, a_test, example, judged, many, with_two_objectives


class Outline(HTMLParser):
    """Headings, addresses and scripts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.links: list[str] = []
        self.sections: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.links += [values[key] or "" for key in ("src", "href") if key in values]
        if tag == "section":
            self.sections.append(values["id"] or "")


def page_of(records: Records) -> str:
    return render(records.data())


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(example())


def test_it_begins_with_the_answer_and_the_caution(page: str) -> None:
    data = example().data()
    start = page[: page.index("<nav")]
    assert words.headline(data) in start
    assert "the best of 6 trials compared on the same images" in start


def test_the_order_of_sections(page: str) -> None:
    order = [
        "next",
        "confusion",
        "labels",
        "pictures",
        "leaderboard",
        "model",
        "curves",
        "costs",
        "history",
        "parameters",
        "unfinished",
        "spent",
        "repeat",
    ]
    assert Outline(page).sections == order


def test_headings_skip_no_level(page: str) -> None:
    headings = Outline(page).headings
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(headings))


def test_nothing_points_outside_the_page(page: str) -> None:
    assert all(link.startswith(("#", "data:")) for link in Outline(page).links)
    assert "@import" not in page[: page.index("<script")]
    assert "url(" not in page[: page.index("<script")]


def test_a_percent_sign_stays_on_the_line_of_its_number() -> None:
    shown = render(judged(a_test(0.85, 0.75, 0.95))).split("<script>")[0].split("</style>")[1]
    assert shown.count("\u00a0%") > 5 and not re.search(r"\d %", shown)


def test_the_policy_names_each_script_by_its_hash_and_allows_no_connection(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    allowed = policy[1].replace("&#39;", "'")
    assert "default-src 'none'" in allowed and "connect-src 'none'" in allowed
    assert "unsafe-eval" not in allowed
    assert "'unsafe-inline'" not in re.findall(r"script-src[^;]*", allowed)[0]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in allowed


def test_trial_0_at_chance_is_drawn_beside_the_best_with_the_line_of_chance(page: str) -> None:
    assert "Trial 7, the best" in page and "Trial 0, your starting point" in page
    assert page.count("chance: ln 2 = 0.693") >= 2


def test_if_trial_0_is_the_best_it_is_drawn_once() -> None:
    only = page_of(replace(example(), trials=example().trials[:1]))
    assert "Trial 0, the best" in only
    assert "Trial 0, your starting point" not in only


def test_every_layer_of_the_best_model_is_drawn_with_shape_and_weights(page: str) -> None:
    model = page[page.index('id="model"') : page.index('id="curves"')]
    assert model.count("<li>") == 12
    assert "64 \u00d7 64 \u00d7 16" in model and "18,496" in model and "16 @ 3x3, relu" in model


def test_neighbouring_layers_of_one_shape_of_a_deep_model_are_drawn_as_one() -> None:
    layers = [LayerRecord(f"l{i}", "Conv2D", (64 // (1 + i // 30), 64, 8), 10) for i in range(150)]
    drawing = architecture(layers)
    assert drawing is not None and drawing.merged
    assert len(drawing.rows) == 5
    assert sum(row.parameters for row in drawing.rows) == 1500


def test_importance_is_left_out_with_a_reason_while_there_are_few_trials(page: str) -> None:
    assert "It takes 20 complete trials (two for each parameter that varies, and no fewer than 20)" in page
    assert "and there are 6 so far" in page


def test_importance_shows_shares_when_there_are_enough_trials() -> None:
    enough = page_of(many(40))
    assert 'class="importance"' in enough
    assert "Left out" not in enough


def test_of_very_many_trials_importance_is_measured_on_some_and_the_page_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = many(60)
    complete = records.data().compared
    assert "spread evenly over them" not in page_of(records)
    monkeypatch.setattr(importance, "_MAX_WEIGHED", complete - 1)
    half = figures(records.data()).weighed
    assert half == -(-complete // 2)
    assert f"Measured on {half} of the {complete} complete trials, spread evenly over them." in page_of(records)


def test_importance_that_shuffled_scores_also_reach_is_marked() -> None:
    def scored(score: Callable[[TrialRecord], float]) -> Records:
        records = many(120)
        trials = [
            replace(t, folds=tuple(replace(f, scores={"balanced_accuracy": score(t)}) for f in t.folds))
            for t in records.trials
        ]
        return replace(records, trials=tuple(trials))

    noise = np.random.default_rng(1).normal(0.7, 0.05, 120)
    assert "None of it is more than luck yet" in page_of(scored(lambda t: float(noise[t.number])))
    result = figures(scored(lambda t: 1 - float(t.params["dropout"])).data())
    assert next(iter(result.importance)) == "dropout"
    assert "dropout" in result.clear and len(result.clear) < len(result.importance)
    assert sum(result.importance.values()) == pytest.approx(1)


def test_a_conditional_parameter_is_weighed_only_over_the_trials_in_which_it_is_active() -> None:
    """In family 'b' both values of `inner` have the same score; family 'a', without `inner`, has the worst score."""
    space = Space((choice("family", "a", "b"), choice("inner", "x", "y", when=(When("family", ("b",)),))))
    records = many(61)

    def trial(number: int) -> TrialRecord:
        pair, second = divmod(number, 2)
        deep = pair % 2 == 0
        params = {"family": "b", "inner": "xy"[second]} if deep else {"family": "a"}
        scores = {"balanced_accuracy": 0.7 + 0.005 * pair if deep else 0.5}
        folds = tuple(replace(fold, scores=scores) for fold in records.trials[1].folds)
        return replace(records.trials[1], number=number, params=params, folds=folds)

    study = replace(records.study, space=space.to_json())
    result = figures(replace(records, study=study, trials=tuple(map(trial, range(60)))).data())
    assert result.weighed == 60
    assert result.importance == pytest.approx({"family": 1.0, "inner": 0.0}, abs=1e-9)


def test_hand_written_points_are_named_on_the_board(page: str) -> None:
    assert page.count("<span>(known-good point) ") == 2


def drawn(page: str) -> str:
    """The drawing of the history."""
    return page[page.index('id="plot-history"') : page.index('id="parameters"')]


def places(drawing: str, state: str) -> list[tuple[float, float]]:
    points = re.findall(rf'<circle cx="([\d.]+)" cy="([\d.]+)" r="[\d.]+" class="point {state}">', drawing)
    return [(float(x), float(y)) for x, y in points]


def test_the_history_has_a_point_for_each_trial_with_a_score_by_its_state(page: str) -> None:
    drawing = drawn(page)
    counts = {state: len(places(drawing, state)) for state in ("complete", "pruned", "failed", "running")}
    assert counts == {"complete": 6, "pruned": 2, "failed": 1, "running": 1}  # 4 has no fold, 10 one that is NaN
    assert "<title>trial 7: 0.885 ± 0.041 balanced accuracy</title>" in drawing
    assert re.search(r"<title>trial 6 \(stopped early\): 0\.\d{3} balanced accuracy</title>", drawing)
    words_of_legend = re.findall(r'class="key point \w+">([^<]+)<', page)
    assert words_of_legend == ["unfinished", "complete", "stopped early", "failed"]


def test_the_legend_of_the_history_has_only_states_that_occur() -> None:
    only = page_of(replace(example(), trials=(example().trials[0], *example().trials[7:9])))
    assert re.findall(r'class="key point \w+">([^<]+)<', only) == ["complete"]
    assert "the mean of the folds that they have" not in only


def test_the_legend_of_all_parameters_has_only_lines_that_are_drawn(page: str) -> None:
    """Of the few trials of the example, the best tenth is the best alone."""
    kinds = {"winner": "the best", "top": "best tenth", "other": "others"}
    for shown, drawn in ((page, ["winner", "other"]), (page_of(many(60)), ["winner", "top", "other"])):
        assert [kind for kind in kinds if f'class="trial {kind}"' in shown] == drawn
        assert all((f">{word}</span>" in shown) == (kind in drawn) for kind, word in kinds.items())


def test_the_line_of_the_best_so_far_is_level_or_rises_and_passes_through_points() -> None:
    for metric, sign in (("balanced_accuracy", -1), ("log_loss", 1)):
        drawing = drawn(page_of(example(metric=metric)))
        line = re.search(r'<path d="M([\d.L ]+)" class="so-far">', drawing)
        assert line is not None
        corners = [tuple(map(float, corner.split())) for corner in line[1].split("L")]
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(corners))
        heights = [sign * y for _, y in corners]  # y of a drawing goes down
        assert heights == sorted(heights)
        assert corners[0] in places(drawing, "complete")
        assert corners[-1][1] == (min if sign < 0 else max)(y for _, y in places(drawing, "complete"))


def test_a_short_history_has_whole_numbers_on_its_axis(page: str) -> None:
    texts = re.findall(r">([\d.,]+)</text>", drawn(page))
    assert [text for text in texts if "." not in text] == ["0", "2", "4", "6", "8", "10"]


def test_one_trial_has_no_history_and_nothing_that_mattered() -> None:
    """Neither a section, nor a link to one."""
    single = page_of(replace(example(), trials=example().trials[:1], choices=()))
    assert 'id="leaderboard"' in single and "One dot a trial" not in single
    for name in ("history", "parameters"):
        assert f'id="{name}"' not in single and f'href="#{name}"' not in single


def test_the_repeat_section_has_commands_and_settings(page: str) -> None:
    section = page[page.index('id="repeat"') :]
    for fact in ("search run pictures/ --hours 8", ">7<", "9f2c9f2c", "optuna, tpe", "3.15.1"):
        assert fact in section


def test_passwords_in_addresses_are_masked() -> None:
    assert masked("search run --db postgresql://me:s3cret@host/x p/") == "search run --db postgresql://me:***@host/x p/"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_very_few_trials(count: int) -> None:
    records = replace(example(), trials=example().trials[:count], probabilities={})
    assert words.headline(records.data()) in page_of(records)


def test_if_all_trials_failed_the_causes_come_first() -> None:
    failed = tuple(replace(t, state=TrialState.FAILED, folds=(), cause="out of memory") for t in example().trials)
    page = page_of(replace(example(), trials=failed, probabilities={}))
    assert "All 12 trials failed; most often: out of memory (12)." in page
    assert Outline(page).sections == ["unfinished", "leaderboard", "spent", "repeat"]


def test_ten_classes_and_every_metric() -> None:
    names = [f"class {i}" for i in range(10)]
    for metric in ("balanced_accuracy", "accuracy", "auroc", "log_loss"):
        page = page_of(example(names, per_class=20, metric=metric))
        assert page.count('scope="row" title="class') == 20, "in the matrix, and below it"
        assert "chance: ln 10 = 2.303" in page


def test_a_long_search_shows_200_trials_and_says_how_many_more() -> None:
    page = page_of(many(600))
    board = page[page.index('id="leaderboard"') : page.index('id="model"')]
    assert board.count("<tr") == 201
    assert "400 more are left out" in board


def test_a_long_history_is_thinned_out_and_the_page_stays_below_a_megabyte() -> None:
    page = page_of(many(3000))
    assert 500 <= len(places(drawn(page), "complete")) <= 1000
    assert len(page.encode()) < 1_000_000


def test_with_a_space_that_does_not_fit_only_the_importance_is_missing() -> None:
    records = replace(example(), study=replace(example().study, space={"parameters": []}))
    page = page_of(records)
    assert "do not fit their space" in page
    assert places(drawn(page), "complete")


def test_writing_replaces_the_old_page_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    write(example().data(trials=(), probabilities={}), target)
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    before = target.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        write(example().data(trials=(), probabilities={}), target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_visible_escapes_control_characters_and_text_direction() -> None:
    cases = SimpleNamespace(given="a\x00\x1b\u202e\u2028\ud800\nb", shown="a\\x00\\x1b\\u202e\\u2028\\ud800\\nb")
    assert values.visible(cases.given) == cases.shown
    assert values.visible("Kätzchen 猫 👩‍🚀") == "Kätzchen 猫 👩‍🚀"


def test_a_star_marks_the_front_where_there_are_two_objectives(page: str) -> None:
    two = page_of(with_two_objectives("latency"))
    assert ">=*7</th>" in two and "ms/image" in two and "Pareto front" in two
    assert "Pareto" not in page[: page.index("<script")] and "ms/image" not in page
