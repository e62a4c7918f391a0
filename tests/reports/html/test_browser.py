"""The pages in a real browser: they run only their own scripts, fetch nothing, can be sorted, and fit the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from reports.html import images
from reports.html.diagnosis import write as write_diagnosis
from reports.html.study import write
from search.data.findings import ClassRow, DuplicateKind, Findings, ImageView, PairView, Remark
from search.diagnosis.evidence import STUCK, Cause, Diagnosis, Symptom
from search.diagnosis.result import Diagnosed
from search.results.pictures import Pictures, rows_shown
from spaces import Space
from spaces.parameters import choice
from storage.records import FoldRecord, LayerRecord, Origin, TrialState
from tests.diagnoses import CASE, EVIDENCE, STUCK_RUN, run, tried
from tests.studies import Records, example, many

PAYLOADS = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "</script><script>window.pwned=1</script>",
    "</style></title></textarea></noscript></svg><svg onload=window.pwned=1>",
    "{{7*7}}{% raw %}${7*7}",
    "javascript:window.pwned=1",
    '<a href="javascript:window.pwned=1">link</a>',
    "<b onmouseover='window.pwned=1'>bold</b>",
    "line\u2028break\u2029and \x00\x1b[31m\u202e control",
    "' onfocus='window.pwned=1' autofocus='",
    "&lt;script&gt;&#x3c;img&#x3e;",
    "<!--<script>",
    "%{y}<extra></extra>$x^2$css:--ink",
    "<svg/onload=window.pwned=1>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<math><mtext></table><script>window.pwned=1</script></mtext></math>",
    "<object data=https://example.com/x></object><embed src=https://example.com/x>",
    "<link rel=stylesheet href=https://example.com/x.css>",
    "<meta http-equiv=refresh content='0;url=https://example.com'>",
    "<base href=https://example.com/>",
    "<form action=https://example.com><button name=text autofocus onfocus=window.pwned=1>",
    "<details open ontoggle=window.pwned=1>",
    "<template><img src=https://example.com/x></template>",
    "url(https://example.com/x)",
    "*/}</style><style>*{background:url(https://example.com/x)}",
    "data:text/html,<script>window.pwned=1</script>",
    r"\u003cscript\u003ewindow.pwned=1\u003c/script\u003e",
    "]]><![CDATA[<script>window.pwned=1</script>",
    "<a ping=https://example.com href=#x>ping</a>",
    "x" * 200,
)
HOSTILE = " ".join(PAYLOADS)


@dataclass
class Visit:
    """An open page, with all its errors and requests."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A new page; use `opened` to show records in it."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    visit = Visit(page)
    page.on("console", lambda message: visit.complaints.append(message.text))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("dialog", lambda dialog: visit.complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: visit.requests.append(request.url))
    page.add_init_script(
        "window.violations = [];"
        "document.addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"
    )
    yield visit
    page.close()


def opened(visit: Visit, records: Records, folder: Path, width: int = 1400, *, side: int = 0) -> Page:
    """The report of these records; `side`: with a picture of so many pixels for each image that is shown."""
    target, data = folder / "report.html", records.data()
    random = np.random.default_rng(0)
    rows = rows_shown(data) if side else ()
    write(data, target, Pictures({row: random.integers(0, 255, (side, side // 2, 3), np.uint8) for row in rows}))
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.goto(target.as_uri())
    return visit.page


def clean(visit: Visit) -> None:
    assert visit.complaints == []
    assert visit.page.evaluate("violations") == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [visit.page.url.split("#")[0]]


def test_it_runs_without_an_error_and_fetches_nothing(visit: Visit, tmp_path: Path) -> None:
    opened(visit, many(40), tmp_path)
    clean(visit)


def test_clicking_a_heading_sorts_by_it_and_again_the_other_way(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, example(), tmp_path)

    def column(n: int) -> list[str]:
        texts = page.locator(f".board tbody tr > :nth-child({n})").all_inner_texts()
        return [text.lstrip("=") for text in texts]  # the column with the marks of ties

    heading = page.locator(".board th", has_text="Trial").first
    heading.get_by_role("button").click()
    assert column(1) == [str(n) for n in range(12)]
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").click()
    assert column(1) == [str(n) for n in reversed(range(12))]
    assert heading.get_attribute("aria-sort") == "descending"
    assert page.locator(".board th[aria-sort]").count() == 1
    clean(visit)


def test_sorting_by_score_keeps_trials_without_one_last(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, example(), tmp_path)
    button = page.get_by_role("button", name="Balanced accuracy")
    for expected in ("0.500", "0.885"):  # at first it is sorted descending
        button.click()
        scores = page.locator(".board .score").all_inner_texts()
        assert scores[0].startswith(expected)
        assert [text.strip() for text in scores[-2:]] == ["–", "–"]  # noqa: RUF001 - the page's sign for none


def test_the_table_sorts_and_opens_by_keyboard(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, example(), tmp_path)
    page.get_by_role("button", name="State").focus()
    page.keyboard.press("Enter")
    assert page.locator(".board .state").first.inner_text() == "complete"
    page.locator(".board summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".board details[open] .params").first.is_visible()


def hostile() -> Records:
    """A study in which every string from a user, a file name or an error message is an attack."""
    base = example((HOSTILE, HOSTILE + " "))
    kinds = choice("family", HOSTILE, "plain", *PAYLOADS[:6])
    space = Space((choice(HOSTILE, HOSTILE, "plain"), choice("other <b>", 1, 2), kinds))
    layers = (LayerRecord(HOSTILE, HOSTILE, (8, 8, 3), 0, HOSTILE), LayerRecord(HOSTILE, HOSTILE, (2,), 9, HOSTILE))

    def evil_fold(fold: FoldRecord) -> FoldRecord:
        return replace(fold, curve={**fold.curve, HOSTILE: (1.0,)})

    trials = []
    for number in range(24):
        source = base.trials[number % 12]
        trials.append(
            replace(
                source,
                number=number,
                params={
                    HOSTILE: HOSTILE if number % 2 else "plain",
                    "other <b>": 1 + number % 2,
                    "family": str(kinds.values[number % 8]),
                },
                origin=Origin.TRY,
                cause=HOSTILE if source.state in (TrialState.FAILED, TrialState.PRUNED) else None,
                detail=HOSTILE + "!",
                layers=layers,
                folds=tuple(map(evil_fold, source.folds)),
            )
        )
    study = replace(
        base.study,
        name=HOSTILE,
        fingerprint=HOSTILE,
        created=HOSTILE,
        space=space.to_json(),
        config={"preset": HOSTILE, "engine": HOSTILE, "sampler": HOSTILE, "folds": 5},
    )
    runs = tuple(replace(run, command=HOSTILE, versions={HOSTILE: HOSTILE}, host=HOSTILE) for run in base.runs)
    images = tuple(replace(image, path=HOSTILE) for image in base.images)
    seen = dict.fromkeys((0, 5, 7, 8), base.probabilities)
    return replace(base, study=study, trials=tuple(trials), runs=runs, images=images, notes=(HOSTILE,), others=seen)


@pytest.mark.parametrize("width", [400, 1400])
def test_hostile_names_run_nothing_fetch_nothing_and_break_nothing(visit: Visit, tmp_path: Path, width: int) -> None:
    page = opened(visit, hostile(), tmp_path, width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.mouse.move(300, 300)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img, iframe, object, embed, a[href^='javascript'], a[ping]").count() == 0
    assert page.locator("base, link:not([rel=icon]), meta[http-equiv=refresh], math, form:not(.filter)").count() == 0
    assert page.locator("script").count() == page.locator("style").count() == 1
    assert "49" not in page.locator("h1").inner_text()
    assert "<script>window.pwned=1</script>" in page.locator(".note").last.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clean(visit)


@pytest.mark.parametrize("width", [400, 720, 1400])
@pytest.mark.parametrize("name", ["two", "ten", "none", "failed"])
def test_the_page_never_scrolls_sideways(visit: Visit, tmp_path: Path, name: str, width: int) -> None:
    records = {
        "two": example(),
        "ten": example([f"a class with a name {i}" for i in range(10)], per_class=20),
        "none": replace(example(), trials=(), probabilities={}),
        "failed": replace(example(), trials=(replace(example().trials[4], cause="y" * 300),), probabilities={}),
    }[name]
    page = opened(visit, records, tmp_path, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clean(visit)


def test_a_number_of_the_confusion_matrix_opens_its_pictures(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, example([f"class {n}" for n in range(6)], per_class=30), tmp_path, side=40)
    closed = page.locator("details.mistaken:not([open])")
    name = closed.first.locator("ul").get_attribute("id")
    before = closed.count()
    assert before and not page.locator(f"#{name} img").first.is_visible()
    page.locator(f".confusion a[href='#{name}']").focus()
    page.keyboard.press("Enter")
    page.locator(f"#{name} img").first.wait_for(state="visible")
    assert closed.count() == before - 1
    assert page.evaluate("document.images.length") == page.evaluate("[...document.images].filter(i => i.alt).length")
    clean(visit)
    page.reload()  # an address that leads there opens it too
    assert page.locator(f"#{name} img").first.is_visible()


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_fit_and_their_captions_can_be_read(visit: Visit, tmp_path: Path, width: int, scheme: str) -> None:
    visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of two words
    page = opened(visit, example(("a_class_with_a_long_name", "b")), tmp_path, width, side=96)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    sides = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.naturalHeight])")
    assert len(sides) > 12 and all(side == [48, 96] for side in sides)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    clean(visit)


@pytest.mark.parametrize("width", [400, 1400])
def test_hostile_names_of_pictures_run_nothing(visit: Visit, tmp_path: Path, width: int) -> None:
    page = opened(visit, hostile(), tmp_path, width, side=9)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("window.pwned") is None
    assert page.locator(".shots img[src^='data:image/png;base64,']").count() == page.locator("img").count() > 12
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clean(visit)


def test_on_a_phone_each_class_name_of_the_confusion_matrix_is_on_one_line(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, example(("t_shirt_top", "pullover_dress", "trousers")), tmp_path, 400)
    for heading in page.locator(".confusion th[title]").all():
        lines = "e => { const r = new Range(); r.selectNodeContents(e); return r.getClientRects().length }"
        assert heading.evaluate(lines) <= 2, "one line, in its cell or in a span of it"


CONTRAST = """
() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top, below) => {
    const a = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map((i) => top[i] * a + below[i] * (1 - a));
  };
  const ground = (el) => {
    const layers = [];
    for (; el; el = el.parentElement) layers.unshift(parse(getComputedStyle(el).backgroundColor));
    return layers.reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const bad = [];
  for (const el of document.querySelectorAll("body *")) {
    const own = [...el.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || el.closest("script, style, noscript") || !el.checkVisibility()) continue;
    const style = getComputedStyle(el);
    const under = ground(el);
    const [a, b] = [light(over(parse(el.closest("svg") ? style.fill : style.color), under)), light(under)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${el.className} "${el.textContent.trim().slice(0, 20)}" ${ratio.toFixed(2)}`);
  }
  return bad;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(visit: Visit, tmp_path: Path, scheme: str) -> None:
    visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of two words
    page = opened(visit, example([f"class {i}" for i in range(6)], per_class=30), tmp_path)
    assert page.evaluate(CONTRAST) == []


def test_charts_have_labels_for_screen_readers(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, many(40), tmp_path)
    unnamed = page.evaluate(
        "[...document.querySelectorAll('svg')].filter(s => !s.closest('[role=img]') && !s.ariaHidden).length"
    )
    assert unnamed == 0
    assert page.locator("svg[role=img]:not([aria-label])").count() == 0


def diagnosed(visit: Visit, case: Diagnosed, folder: Path, width: int = 1400) -> Page:
    target = folder / "diagnose.html"
    write_diagnosis(case, target)
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.goto(target.as_uri())
    return visit.page


def freed(text: str = "initializer: uniform_0.05 → glorot_uniform") -> Diagnosed:
    """A stuck network, an experiment with which it learns, and one with which it does not."""
    runs = ([run(0.95, 0.9)] * 3, [run(0.5, 0.5)] * 2)
    shown = [tried(topic, one, text) for topic, one in zip(("initial weights", "penalty"), runs, strict=True)]
    return replace(CASE, tried=tuple(shown))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_a_diagnosis_fits_and_can_be_read(visit: Visit, tmp_path: Path, scheme: str, width: int) -> None:
    visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of two words
    page = diagnosed(visit, freed(), tmp_path, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    assert page.locator("svg[role=img]").count() == 3
    clean(visit)


@pytest.mark.parametrize("width", [400, 1400])
def test_hostile_names_run_nothing_on_the_page_of_a_diagnosis(visit: Visit, tmp_path: Path, width: int) -> None:
    layers = tuple(replace(layer, name=f"{place} {HOSTILE}") for place, layer in enumerate(EVIDENCE.layers))
    cause = Cause(HOSTILE, HOSTILE, HOSTILE, 0.9)
    diagnosis = Diagnosis(Symptom(STUCK, (HOSTILE,)), (cause,), collapsed=True)
    stuck = replace(STUCK_RUN, diagnosis=diagnosis, evidence=replace(EVIDENCE, layers=layers))
    failed = replace(run(0.5, 0.5), failure=HOSTILE)
    evil = replace(
        freed(HOSTILE),
        images=HOSTILE,
        model=HOSTILE,
        point={HOSTILE: HOSTILE},
        classes=(HOSTILE, "b"),
        remarks=(HOSTILE,),
        runs=(stuck,) * 3,
    )
    case = replace(evil, tried=(*evil.tried, tried("size", [failed] * 3, HOSTILE)))
    page = diagnosed(visit, case, tmp_path, width)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img, iframe, object, script, a[href^='javascript']").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clean(visit)


def test_it_prints_in_light_colours_without_navigation_on_the_width_of_a_page(visit: Visit, tmp_path: Path) -> None:
    visit.page.emulate_media(color_scheme="dark", media="print")
    page = opened(visit, example(), tmp_path, width=720)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


# What `search check` writes


def checked(name: str = "shirts") -> Findings:
    """Findings of every kind, for pictures, classes and files with this name."""
    grey = np.add.outer(np.arange(0, 240, 30), np.arange(8)).astype(np.uint8)[:, :, None]
    photo = np.random.default_rng(3).integers(0, 255, (120, 80, 3), np.uint8)

    def pair(kind: DuplicateKind) -> PairView:
        first, second = (ImageView(f"training/a/{name}.png", name, False, pixels) for pixels in (grey, photo))
        return PairView(
            kind, first, replace(second, testing=kind == DuplicateKind.LEAK), kind != DuplicateKind.COPY, False, 0.991
        )

    rows = tuple(ClassRow(name, 50, searched, 9, 4, (64, 48), (8, 8), (4000, 3000), 0.5) for searched in (12, 40))
    left_out = Remark(f"training/a/{name}", name, name, left_out=True)
    pairs = tuple(map(pair, DuplicateKind))
    return Findings(name, 60, 8, (8, 8, 3), rows, 5, None, (name, "A sentence."), pairs, (left_out,))


def looked_at(visit: Visit, findings: Findings, folder: Path, width: int) -> Page:
    target = folder / "pictures-check.html"
    images.write(findings, target)
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.goto(target.as_uri())
    return visit.page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_of_a_check_shows_every_pair_and_fits(visit: Visit, tmp_path: Path, width: int, scheme: str) -> None:
    visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of two words
    page = looked_at(visit, checked(), tmp_path, width)
    sides = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.naturalHeight])")
    assert sides == [[8, 8], [80, 120]] * len(DuplicateKind)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    clean(visit)


@pytest.mark.parametrize("width", [400, 1400])
def test_hostile_names_run_nothing_on_the_page_of_a_check(visit: Visit, tmp_path: Path, width: int) -> None:
    findings = checked(HOSTILE)
    page = looked_at(visit, replace(findings, problem=HOSTILE), tmp_path, width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.mouse.move(300, 300)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 2 * len(DuplicateKind)
    assert page.locator("script, iframe, object, img:not([src^='data:image/']), a[href^='javascript']").count() == 0
    assert "<script>window.pwned=1</script>" in page.locator("h1").inner_text()
    assert "49" not in page.locator("h1").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clean(visit)
