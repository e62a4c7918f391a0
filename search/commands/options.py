"""The arguments and options of the commands. Ranges are checked with the rest of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from search.commands import values
from search.samplers import catalog

PREVIEW = "augmentation.png"


def _completing(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell proposes for an option: those of the names that begin as what was typed. Called on TAB alone."""

    def completed(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return completed


def _presets() -> Iterable[str]:
    from spaces.presets import PRESETS  # imports NumPy, which --help does not need

    return PRESETS


def _samplers() -> Iterable[str]:
    return dict.fromkeys(row.name for row in catalog.SAMPLERS)


TRACKERS = ("tensorboard", "mlflow", "wandb")  # those of `search.trackers.catalog`, which takes longer to import


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"smallsearch {version('smallsearch')}")
        except PackageNotFoundError:
            typer.echo("smallsearch, not installed: run from a checkout")
        raise typer.Exit


def _option(help_: str, *, whole: bool = True) -> Any:
    """A number on the command line; its range is checked with the rest of the configuration."""
    return typer.Option(parser=values.whole if whole else values.number, metavar="N" if whole else "HOURS", help=help_)


def _trial(option: str, help_: str) -> Any:
    return typer.Option(
        option, parser=lambda text: values.checked_trial(values.whole(text), option), metavar="N", help=help_
    )


Where = Annotated[Path | None, typer.Argument(metavar="STUDY", help="Study folder. Default: the current folder.")]
Studies = Annotated[list[Path], typer.Argument(metavar="STUDY STUDY...", help="Study folders, two or more.")]
Trials = Annotated[int | None, _option("Trials in total, over all sessions. [default: 200]")]
Hours = Annotated[float | None, _option("Hours of searching in total, over all sessions. [default: 8]", whole=False)]
Time = Annotated[
    str | None,
    typer.Option(
        "--time", parser=values.in_words, metavar="TIME", help="The same as --hours, in words: 90s, 30m, 8h, 1h30m."
    ),
]
Prefer = Annotated[
    str | None,
    typer.Option(
        help="best, or small: which model is saved. best takes a cheaper one if that is expected to lose at most 0.3 "
        "points, small 1 point. [default: best]"
    ),
]
MaxLatency = Annotated[
    float | None,
    typer.Option(
        "--max-latency",
        parser=values.number,
        metavar="MS",
        help="Save no model that takes longer to predict an image, by one thread of this machine.",
    ),
]
UntilFlat = Annotated[
    bool,
    typer.Option(
        "--until-flat", help="End before the budget when another hour is expected to bring less than 0.3 points."
    ),
]
Folds = Annotated[int | None, _option("Folds of cross-validation. [default: 5]")]
Epochs = Annotated[
    int | None,
    _option("The most epochs of a fold run; fine-tune has a parameter `epochs` instead. [default: the preset's]"),
]
Seed = Annotated[int | None, _option("Study seed, from which all others are derived. [default: 0]")]
Engine = Annotated[
    str | None,
    typer.Option(
        autocompletion=_completing(lambda: catalog.ENGINES),
        help=f"Who proposes points: {' or '.join(catalog.ENGINES)}. [default: {catalog.ENGINES[0]}]",
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(autocompletion=_completing(_samplers), help=catalog.in_help()),
]
Second = Annotated[
    str | None,
    typer.Option(
        "--second-objective",
        help="Minimised beside the metric: parameters (of the model) or latency (ms an image, on this machine).",
    ),
]
WarmStart = Annotated[
    Path | None,
    typer.Option("--warm-start", metavar="STUDY", help="Another study, whose best points are tried first."),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        autocompletion=_completing(_presets),
        help="The space: auto, frozen, fine-tune, cnn or question. [default: auto, all of them]",
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        parser=values.seconds_from,
        metavar="N",
        help="Of trying changes, once the network as it is was trained; then no other is begun. The most suspected are "
        "tried first. [default: 100]",
    ),
]
Diagnosed = Annotated[
    str | None,
    typer.Option("--preset", help="Whose default network is diagnosed: question or cnn. [default: question]"),
]
From = Annotated[int | None, _trial("--from", "The trial to begin from. [default: 0, your starting point]")]
Goal = Annotated[int | None, _trial("--to", "The trial to explain. [default: that of the saved model]")]
Points = Annotated[
    int | None,
    typer.Option(
        "--trials",
        parser=lambda text: values.checked_points(values.whole(text)),
        metavar="N",
        help="Trials in total, over all sessions of this explanation. [default: as many as it takes]",
    ),
]
ExplainTime = Annotated[
    float | None,
    typer.Option(
        "--time",
        parser=values.duration,
        metavar="TIME",
        help="Time in total, over all sessions of this explanation: 90s, 30m, 8h. [default: as long as it takes]",
    ),
]
Backbones = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone",
        metavar="NAME|FOLDER|hub:NAME",
        help="Search with this pre-trained network only; may be given again. `search backbones` lists the names; a "
        "folder is one of Hugging Face or keras-hub; hub:NAME is downloaded by keras-hub, once.",
    ),
]
ImageSize = Annotated[
    int | None,
    _option(
        "Side in pixels at which pictures are read. [default: theirs, 128 at most; more where a comparison at the "
        "start finds that a pre-trained network sees more then]"
    ),
]
NoFlip = Annotated[
    bool, typer.Option("--no-flip", help="Never turn a picture left to right: for letters, or left and right hands.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        parser=values.workers_of,
        metavar="N",
        help="Worker processes of one thread; 0: none, train here. [default: at most one a GPU, else one a core]",
    ),
]
PerGpu = Annotated[
    int | None,
    _option("Worker processes for each visible NVIDIA GPU, which share its memory; instead of --workers. [default: 1]"),
]
Executor = Annotated[
    str | None,
    typer.Option(
        metavar="local|ray",
        help="Where folds are trained: here, or on a Ray cluster: extra `cluster`. [default: local]",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The running Ray cluster. [default: one is started here for the search]"),
]
FoldLimit = Annotated[
    float | None,
    typer.Option(
        parser=values.duration,
        metavar="TIME",
        help="End a fold run that takes longer, such as 20m; it is tried once more. One that hangs is ended anyway.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="How networks are trained: float32, or for GPUs mixed_float16 or mixed_bfloat16. [default: float32]"
    ),
]
Xla = Annotated[
    bool,
    typer.Option(
        "--xla",
        help="Compile each epoch by XLA, folds side by side: for GPUs, not measured on one yet; slower on a processor.",
    ),
]
Takeover = Annotated[
    bool, typer.Option("--takeover", help="Stop the process that has the study now, in order, and go on in its place.")
]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="Send a notice at the end or a failure to this address of apprise (extra notify), such as ntfy://TOPIC. "
        "Again for more; or in SMALLSEARCH_NOTIFY, which `ps` does not show.",
    ),
]
NotifyBest = Annotated[bool, typer.Option("--notify-best", help="Send one at each new best score too.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:BUILD", help="A model of your own: build(hp) as for Keras Tuner. This runs your code."
    ),
]
MoreTrials = Annotated[int | None, _option("Trials in total, over all sessions. [default: the study's]")]
MoreHours = Annotated[
    float | None, _option("Hours of searching in total, over all sessions. [default: the study's]", whole=False)
]
Dir = Annotated[Path | None, typer.Option("--dir", help="Study folder to make. [default: IMAGES-study, here]")]
Groups = Annotated[
    str | None,
    typer.Option(
        metavar="CSV | PATTERN",
        help="Images that stay in one fold: a .csv file with the columns path and group, or a regular expression "
        "whose group is found in the path.",
    ),
]
NoLockBox = Annotated[
    bool,
    typer.Option("--no-lock-box", help="Search with all images; by default, of 1,000 or more a sixth is for testing."),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Keep the results of a new study on a PostgreSQL server: postgresql://USER@HOST/DATABASE. Needs the extra "
        "`postgres`.",
    ),
]
Nested = Annotated[
    bool,
    typer.Option(
        "--nested",
        help="Search again without each fold's images, and judge what is chosen on them: FOLDS times the time.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the end result only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]
Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGES...",
        help="Folder of images, one folder a class, or a .zip or .tar of one; several are read as one set.",
    ),
]
StudyOrImages = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="STUDY | IMAGES...",
        help="A study folder, or a folder of images, or a .zip or .tar of one; several of images are read as one set.",
    ),
]
LabelTable = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE.csv",
        help="The class of each picture, where folders are none: a table with the columns path and label, and perhaps "
        "group and split, by their usual names.",
    ),
]
LabelColumns = Annotated[
    str | None,
    typer.Option(
        "--label-columns",
        metavar="path=A,label=B",
        help="Which columns of that table are meant, also group=C, split=D.",
    ),
]
LabelPattern = Annotated[
    str | None,
    typer.Option(
        "--label-pattern",
        metavar="PATTERN",
        help="The class of each picture from its name: a regular expression with one group; '([a-z]+)_' of cat_1.jpg.",
    ),
]
Classes = Annotated[
    list[str] | None, typer.Option("--classes", metavar="A,B", help="Read these classes only; may be given again.")
]
Merge = Annotated[
    list[str] | None, typer.Option("--merge", metavar="NEW=A+B", help="Read classes as one; may be given again.")
]
StudyOrModel = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY | MODEL", help="A study, or a model of `export`: .keras, .tflite, .onnx or a folder."
    ),
]
PresetOrStudy = Annotated[
    str | None, typer.Argument(metavar="PRESET | STUDY", help="A preset or a study folder. Default: here.")
]
Pictures = Annotated[
    list[Path], typer.Argument(metavar="IMAGES...", help="Picture files, folders of them, or a .zip or .tar of them.")
]
To = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="FILE | DIR",
        help="Where to write the model. The ending says in which format: .keras, .tflite (LiteRT), .onnx, .py (plain "
        "Keras code that trains it); a folder is a TensorFlow SavedModel.",
    ),
]
Quantize = Annotated[
    str | None,
    typer.Option(
        "--quantize",
        metavar="float16|int8",
        help="Shorter numbers in a .tflite file: half or a quarter of its size. int8 is calibrated on training images, "
        "and may cost accuracy, which is measured.",
    ),
]
Batch = Annotated[
    int | None,
    _option("Images that a .tflite, .onnx or SavedModel takes at once, no more and no fewer. [default: any number]"),
]
BackupTo = Annotated[
    Path | None, typer.Option("--to", metavar="FOLDER", help="New folder. [default: STUDY-backup-DATE, beside it]")
]
Below = Annotated[
    str, typer.Argument(metavar="DIR | URL", help="Folder, or a database on a server. Default: the current folder.")
]
SweepPath = Annotated[
    Path, typer.Argument(metavar="SWEEP.toml", help="Data sets, presets and seeds; see docs/sweeps.md.")
]
CopyFrom = Annotated[str, typer.Argument(metavar="FROM", help="A study folder, or the URL of a study on a server.")]
CopyTo = Annotated[
    str, typer.Argument(metavar="TO", help="A new folder, or postgresql://USER@HOST/DATABASE, /NAME added or not.")
]
Unknown = Annotated[
    bool, typer.Option("--unknown", help="Say 'unknown' of a picture that is unlike all training images.")
]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV: path, class, a probability for each class.")]
Tables = Annotated[
    bool,
    typer.Option("--csv", help="Also write all trials and fold runs as trials.csv and folds.csv, beside the page."),
]
Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="TRACKER",
        autocompletion=_completing(lambda: TRACKERS),
        help=f"Also write the trials to {', '.join(TRACKERS[:-1])} or {TRACKERS[-1]}; may be given again. Each needs "
        "the extra of its name.",
    ),
]
Tracker = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="TRACKER",
        autocompletion=_completing(lambda: TRACKERS),
        help=f"Where to: {', '.join(TRACKERS[:-1])} or {TRACKERS[-1]}. Each needs the extra of its name.",
    ),
]
Follow = Annotated[bool, typer.Option("--watch", help="Go on while the search runs. Ctrl-C ends.")]
Port = Annotated[
    int | None, typer.Option(parser=values.port_of, metavar="N", help="Port of 127.0.0.1. [default: a free one]")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Say what would be searched, for how long and at what cost. Nothing is written, logged or taken over.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels", metavar="FILE.csv", help="Also write a table of the labels in doubt, the surest errors first."
    ),
]
Watch = Annotated[
    bool, typer.Option("--watch", help="Write the page anew while the search runs; an open page follows. Ctrl-C ends.")
]
Preview = Annotated[
    Path | None,
    typer.Option(metavar="IMAGES", help=f"Write {PREVIEW} instead: these pictures under every augmentation."),
]
