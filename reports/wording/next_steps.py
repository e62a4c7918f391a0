"""What to do next, in sentences: what, why, and where the page shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.wording import more_pictures as more_words
from reports.wording.answer import score
from reports.wording.going_on import further_trials, going_on, own_model
from reports.wording.study import too_good
from reports.wording.values import count, duration, shortened, visible
from search.results import next_steps as steps
from search.results.more_pictures import Verdict
from search.results.summary import StudySummary
from search.text import line_anywhere, quoted

WHERE = "Commands are typed in the study's folder."


@dataclass(frozen=True)
class Advice:
    """One thing to do."""

    what: str  # an imperative, a few words
    why: str  # its evidence, with numbers
    words: tuple[str | Path, ...] = ()  # of a command in the study's folder: verb and arguments; empty: there is none
    section: str = ""  # of the page that shows the evidence

    @property
    def command(self) -> str:
        """The command as it is read on a page; empty if there is none."""
        verb, *arguments = self.words or ("",)
        return line_anywhere(str(verb), *arguments) if verb else ""


def advice(data: StudySummary) -> tuple[Advice, ...]:
    """The steps of `next_steps`, in words."""
    return tuple(_WORDS[type(step)](data, step) for step in steps.next_steps(data))


def _where(data: StudySummary) -> tuple[str | Path, ...]:
    """The pictures in a command; a word for them where their paths are not known, or do not say all."""
    return data.pictures or ("PICTURES",)


def _groups(data: StudySummary, step: steps.SetGroups) -> Advice:
    return Advice(
        "Search again with pictures of one thing kept together",
        f"{too_good(data)}. Begin another study with the same settings and "
        f"{_option('--groups', visible(step.pattern))}.",
    )


def _cause(data: StudySummary, step: steps.FindTheCause) -> Advice:  # noqa: ARG001
    return Advice(
        "Find out why nothing is learned",
        "no model is clearly better than guessing. The command trains one network on your pictures, looks into its "
        "layers and tries single changes. Look at the pictures, too: could you tell the classes apart?",
        ("diagnose", *_where(data), *own_model(data)),
        "curves",
    )


def _option(name: str, value: str) -> str:
    """An option with its value, as it is typed, in backticks."""
    return f"`{name} {quoted(value)}`"


def _labels(data: StudySummary, step: steps.CheckLabels) -> Advice:
    first, names = data.suspects[0], data.study.classes
    return Advice(
        f"Look at {count(step.labels, 'label')} that {'looks' if step.labels == 1 else 'look'} wrong",
        f"{'first of all ' if step.labels > 1 else ''}{visible(first.path)}, labelled "
        f"{shortened(names[first.label], 40)} and by its look "
        f"{shortened(names[first.likely], 40)}. Wrong labels cost accuracy, and make the numbers here too low.",
        ("report", "--labels", "labels.csv"),
        "labels",
    )


def _testing(data: StudySummary, step: steps.LookAtTesting) -> Advice:
    how = "harder" if step.harder else "easier"
    if data.drawn:
        return Advice(
            "Look for pictures of one thing",
            f"the pictures that were locked away are clearly {how} for the model than the others, though they were "
            "drawn from the same folder: that is luck, or pictures of one thing are in several parts. If there are "
            "such pictures, search again and keep them together (`--groups`).",
            ("check", *_where(data)),
        )
    return Advice(
        "Compare the testing pictures with the others",
        f"they are clearly {how} for the model than pictures of the search: perhaps another camera, place or day. If "
        "pictures in use will be like them, add such pictures to the training folder, and believe the testing score.",
    )


def _finish(data: StudySummary, step: steps.FinishTrial) -> Advice:
    missing = step.folds - step.done
    ended = "its time was over" if step.out_of_time else "the search was stopped"
    return Advice(
        f"Let trial {step.trial} finish",
        f"it may be the best, and {ended} after {step.done} of {count(step.folds, 'fold')}: "
        f"{count(missing, 'fold')} more {'takes' if missing == 1 else 'take'} about {duration(step.seconds)}.",
        going_on(data),
        "leaderboard",
    )


def _epochs(data: StudySummary, step: steps.RaiseEpochs) -> Advice:  # noqa: ARG001
    whose = "the best trial" if step.trials == 1 else f"the {step.trials} best trials"
    return Advice(
        "Train for longer",
        f"{step.cut} of {count(step.runs, 'fold run')} of {whose} were still getting better when the limit of "
        f"{count(step.epochs, 'epoch')} ended them. Begin another study with the same settings and "
        f"{_option('--epochs', str(2 * step.epochs))}.",
        section="curves",
    )


def _class(data: StudySummary, step: steps.HelpClass) -> Advice:
    name = shortened(data.study.classes[step.label], 40)
    other = "class" if len(data.study.classes) == 2 else "classes"
    found, low, high, others = (f"{100 * share:.0f}" for share in (step.found, step.low, step.high, step.others))
    return Advice(
        f"Look at the pictures of {name}",
        f"only {found} % of them are recognized ({low} to {high} %), of the other {other} {others} %. Look first at "
        "those that are mistaken: perhaps some are unclear even to you, or there are too few of a kind.",
        section="confusion",
    )


def _pictures(data: StudySummary, step: steps.AddPictures) -> Advice:  # noqa: ARG001
    why = more_words.answer(data)
    return Advice("Collect more pictures", f"{why[:1].lower()}{why[1:]}", section="more")


def _family(data: StudySummary, step: steps.ChangeFamily) -> Advice:
    beaten = f"{visible(step.name)} gets {score(data, step.score)} on the same folds, clearly more than any trial here"
    if data.preset == "auto":
        return Advice(
            "Do not search on", f"{beaten}. Other or more pictures are more likely to help.", (), "leaderboard"
        )
    nothing = ". Networks that are trained from nothing need many more pictures" if step.pretrained else ""
    return Advice(
        "Search with a pre-trained network" if step.pretrained else "Search other kinds of models",
        f"{beaten}{nothing}. The command begins another study.",
        ("run", *_where(data), "--preset", "auto", "--dir", "NEW-STUDY"),
        "leaderboard",
    )


def _plain(data: StudySummary, step: steps.UsePlain) -> Advice:
    little = data.more is not None and data.more.verdict is Verdict.LITTLE
    every = data.preset == "auto"
    helps = [] if little else ["other or more pictures"]
    helps += ["a model of your own (`--model`)" if every else "the models of all families"]
    listed = ", or ".join(helps)
    return Advice(
        "Do not expect much of a longer search of this kind",
        f"a plain method, {visible(step.name)}, does at least as well as far as these pictures can tell: "
        f"{score(data, step.score)}. More likely to help: {listed}.",
        () if every else ("run", *_where(data), "--preset", "auto", "--dir", "NEW-STUDY"),
        section="leaderboard",
    )


def _on(data: StudySummary, step: steps.SearchOn) -> Advice:
    if step.best is None:
        are = "is" if step.trials == 1 else "are"
        why = f"{count(step.trials, 'trial')} {are} few; more of them may well find better."
    else:
        part = "has the best score" if data.best and data.best.number == step.best else "is part of the model"
        why = f"trial {step.best} of {step.trials} came late and {part}, so later ones may be better still."
    further, seconds = further_trials(data)
    command = going_on(data)
    reserve = "; `--time` is the total, with something in reserve" if "--time" in command else ""
    takes = f" {further:,} more take about {duration(seconds)}{reserve}." if seconds else ""
    return Advice("Search on if you have the time", f"{why}{takes}", command, "history")


def _explain(data: StudySummary, step: steps.Explain) -> Advice:
    return Advice(
        "Find out what made the difference",
        f"the saved trial differs from your starting point in {count(step.changes, 'setting')}, and does better, "
        "fold by fold. The command tries each change alone, and finds the way from one to the other.",
        ("explain", *own_model(data)),
    )


def _stop(data: StudySummary, step: steps.StopHere) -> Advice:  # noqa: ARG001
    return Advice(
        "Stop the search here",
        f"the {step.since} trials after trial {step.best} brought nothing better.",
        section="history",
    )


_WORDS: dict[type, Callable[[StudySummary, Any], Advice]] = {
    steps.SetGroups: _groups,
    steps.FindTheCause: _cause,
    steps.CheckLabels: _labels,
    steps.LookAtTesting: _testing,
    steps.FinishTrial: _finish,
    steps.RaiseEpochs: _epochs,
    steps.HelpClass: _class,
    steps.AddPictures: _pictures,
    steps.ChangeFamily: _family,
    steps.UsePlain: _plain,
    steps.Explain: _explain,
    steps.SearchOn: _on,
    steps.StopHere: _stop,
}
