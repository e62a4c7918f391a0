"""The final output of a command: a page and lines for people, or one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from reports.as_json import as_json, diagnosis_as_json, explanation_as_json, images_as_json, strict
from reports.compare_as_json import comparison_as_json
from reports.exported_as_json import exported_as_json
from reports.html import diagnosis as diagnosis_page
from reports.html import images as images_page
from reports.terminal import diagnosis as diagnosis_lines
from reports.terminal import dry_run as dry_run_lines
from reports.terminal import explain as explain_lines
from reports.terminal import images as images_lines
from reports.terminal import study as study_lines
from reports.terminal.backbones import show_backbones
from reports.terminal.compare import show_comparison
from reports.terminal.listed import show_studies
from reports.terminal.output import Output
from reports.terminal.predictions import show_predictions
from reports.terminal.space import show_space
from reports.terminal.swept import show_sweep
from reports.wording import exported as export_words
from reports.wording.values import count
from search.data.findings import Findings
from search.diagnosis.result import Diagnosed
from search.files import write_atomically
from search.results.backbones import ListedBackbone
from search.results.checked import Checked
from search.results.compare import Comparison
from search.results.copied import CopiedStudy
from search.results.dry_run import DryRun
from search.results.environment import Environment, Extra
from search.results.explained import Explanation
from search.results.exported import Exported
from search.results.listed import ListedStudy
from search.results.logged import Logged
from search.results.predictions import Prediction
from search.results.summary import StudySummary
from search.results.swept import Sweep
from search.text import installing
from spaces import Space

_MAX_PROBLEMS = 20  # of one kind; --json has all


def lines(*texts: str) -> None:
    """Print lines as they are."""
    out = Output()
    for text in texts:
        out.say(text)


def plain(data: object) -> None:
    """Print one JSON object."""
    lines(*json.dumps(data, indent=2, allow_nan=False).splitlines())


def images(findings: Findings, page: Path, *, as_json: bool, open_it: bool) -> None:
    """The result of `search check`. Raises OSError if the page cannot be written."""
    if as_json:
        plain(images_as_json(findings))
        return
    images_page.write(findings, page)
    written = [f"page: {page}"]
    if findings.scenes is not None:
        table = page.with_name(page.name.removesuffix("-check.html") + "-scenes.csv")
        write_atomically(table, findings.scenes)
        written.append(f"pictures of one time, for --groups: {table}")
    lines(*images_lines.images_in_words(findings), *images_lines.in_lines(findings), *written)
    _open(page, open_it)


def diagnosis(diagnosed: Diagnosed, page: Path, *, as_json: bool, open_it: bool) -> None:
    """The result of `search diagnose`. Raises OSError if the page cannot be written."""
    if as_json:
        plain(diagnosis_as_json(diagnosed))
        return
    diagnosis_page.write(diagnosed, page)
    lines(*diagnosis_lines.in_lines(diagnosed), f"page: {page}")
    _open(page, open_it)


def explanation(explained: Explanation, page: Path, *, as_json: bool, open_it: bool) -> None:
    """The result of `search explain`, and where the report was written."""
    if as_json:
        plain(explanation_as_json(explained))
        return
    explain_lines.show(explained)
    lines("", f"report: {page}")
    _open(page, open_it)


def study(summary: StudySummary, page: Path, *, open_it: bool) -> None:
    """The report of a study in short, and where its page was written: in its folder."""
    study_lines.show(summary, Output(), study=page.parent)
    lines("", f"report: {page}")
    _open(page, open_it)


def comparison(compared: Comparison, *, as_json: bool) -> None:
    """Studies side by side."""
    if as_json:
        plain(comparison_as_json(compared))
    else:
        show_comparison(compared, Output())


def made(study: Path, settings: Path, starts: str, *, as_json: bool) -> None:
    """The result of `search init`; `starts`: the command that begins the search."""
    if as_json:
        plain({"study": str(study), "settings": str(settings), "next": starts})
    else:
        lines(f"wrote {settings}; `{starts}` starts it")


def dry_run(plan: DryRun, *, as_json: bool) -> None:
    """The result of `search run --dry-run`."""
    if as_json:
        low, high = plan.prices or (None, None)
        plain(strict({**asdict(plan), "cheapest_trial_seconds": low, "dearest_trial_seconds": high}))
    else:
        lines(*dry_run_lines.in_lines(plan))


def logged(told: Logged, *, as_json: bool) -> None:
    """The result of `search log`."""
    if as_json:
        plain(asdict(told))
    else:
        lines(f"{told.tracker}: {count(told.new, 'run')} written, {told.runs - told.new:,} there already: {told.where}")


def backed_up(copy: Path, shows: str, goes_on: str, *, as_json: bool) -> None:
    """The result of `search backup`, with the commands that show the copy and go on with it."""
    if as_json:
        plain({"backup": str(copy), "report": shows, "resume": goes_on})
    else:
        lines(f"wrote {copy}; `{shows}` shows it, and `{goes_on}` goes on with it")


def watching(page: Path, *, open_it: bool, last: bool) -> None:
    """Where the page is that follows a search; `last`: whether it stays as it is, because no search runs."""
    stays = "no search of this study runs now, so the page stays as it is"
    lines(stays if last else f"watching; Ctrl-C ends: {page}")
    _open(page, open_it)


def study_as_json(summary: StudySummary) -> None:
    """A whole study as one JSON object."""
    plain(as_json(summary))


def run(summary: StudySummary, page: Path, all_trials: str) -> None:
    """The first rows of the leaderboard, where the page was written, and `all_trials`, the command that shows all."""
    study_lines.show(summary, Output(), top=5, study=page.parent)
    lines("", f"report: {page}   (all trials: {all_trials})")


def exported(done: Exported, *, as_json: bool) -> None:
    """The result of `search export`."""
    if as_json:
        plain(exported_as_json(done))
    else:
        lines(*export_words.lines(done))


def export_warnings(done: Exported) -> Sequence[str]:
    """What the user must know of an exported model, for standard error."""
    return export_words.warnings(done)


def predictions(classes: Sequence[str], answers: Sequence[Prediction], form: str) -> None:
    """Predictions as 'lines', 'json' or 'csv'."""
    show_predictions(classes, answers, Output(), form)


def not_predicted(answers: Sequence[Prediction]) -> list[str]:
    """One line for the files that are no pictures, one for clipped ones, and one for each that could not be read."""
    strays = [answer.path for answer in answers if answer.stray]
    more = f", … and {len(strays) - 3} more" if len(strays) > 3 else ""
    passed_over = [f"passed over, no pictures: {', '.join(strays[:3])}{more}"] if strays else []
    clipped = [answer for answer in answers if answer.clipped]
    others = f" (… and {len(clipped) - 1} more)" if len(clipped) > 1 else ""
    cut = [f"{answer.path}: {answer.clipped}{others}" for answer in clipped[:1]]
    unread = [f"{answer.path}: {answer.problem}" for answer in answers if answer.problem and not answer.stray]
    return [*passed_over, *cut, *unread]


def space(name: str, shown: Space, *, as_json: bool) -> None:
    """The parameters of a space."""
    if as_json:
        plain(shown.to_json())
    else:
        show_space(name, shown, Output())


def backbones(listed: Sequence[ListedBackbone], *, as_json: bool) -> None:
    """The pre-trained networks of this machine."""
    if as_json:
        plain({"backbones": [asdict(one) for one in listed]})
    else:
        show_backbones(listed)


def verified(study: str, checks: Sequence[Checked], *, as_json: bool) -> None:
    """The result of `search verify`."""
    if as_json:
        plain({"study": study, "sound": not any(c.problems for c in checks), "checks": [asdict(c) for c in checks]})
        return
    for check in checks:
        lines(f"{check.what}: {check.count:,} checked, {count(len(check.problems), 'problem')}")
        lines(*(f"  {problem}" for problem in check.problems[:_MAX_PROBLEMS]))
    wrong = sum(len(check.problems) for check in checks)
    lines(f"{study}: {count(wrong, 'problem')}. Restore it from a backup." if wrong else f"{study}: all is sound.")


def studies(listed: Sequence[ListedStudy], *, as_json: bool) -> None:
    """The result of `search list`."""
    if as_json:
        plain({"studies": [asdict(study) for study in listed]})
    else:
        show_studies(listed)


def swept(sweep: Sweep, *, as_json: bool) -> None:
    """The result of `search sweep`."""
    if as_json:
        plain(asdict(sweep))
    else:
        show_sweep(sweep)


def copied(study: CopiedStudy) -> None:
    """The result of `search copy`."""
    counts = ", ".join(f"{rows:,} of {table}" for table, rows in study.rows.items() if rows)
    lines(
        f"wrote {study.target}: the same rows on both sides ({counts}), SHA-256 {study.sha256[:16]}…",
        *(f"next: {command}" for command in study.next_steps),
    )


def environment(here: Environment, *, as_json: bool) -> None:
    """The result of `search env`."""
    if as_json:
        plain(asdict(here))
        return
    lines(
        f"system: {here.system}",
        f"processors: {count(here.cores, 'core')}, {here.memory_bytes / 2**30:.0f} GiB of memory",
        f"GPUs: {', '.join(here.gpus) or 'none visible'}",
        f"GPUs that TensorFlow uses: {', '.join(here.seen_by_tensorflow) or 'none'}",
        *([here.gpu_advice] if here.gpu_advice else []),
        f"workers of a search, by default: {here.workers}",
        f"pre-trained networks at hand: {', '.join(here.backbones) or 'none'} (`search backbones` says more)",
        "extras, to be installed in a checkout of this project:",
        *(f"  {e.name}: {e.purpose}: {_installed(e)}" for e in here.extras),
        "versions: " + ", ".join(f"{name} {version}" for name, version in here.versions.items()),
    )


def _installed(extra: Extra) -> str:
    return "installed" if extra.installed else installing(extra.name, where="")


def _open(page: Path, wanted: bool) -> None:
    if wanted:
        typer.launch(page.absolute().as_uri())
