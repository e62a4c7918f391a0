"""Examples at the end of each command's `--help`. A test parses every line, so that they stay true."""

from __future__ import annotations

EXAMPLES = {
    "init": (
        ("search init pictures/", "check the pictures, write pictures-study/study.toml to edit"),
        ("search init pictures/ --preset cnn --dir cnn-study", "… of networks trained from nothing only"),
    ),
    "run": (
        ("search run pictures/", "make pictures-study/ and search: 200 trials or 8 hours"),
        ("search run pictures/ --time 30m --workers 2", "the same command again goes on, after a crash too"),
        ("search run pictures/ --dry-run", "what would be searched, for how long, at what cost"),
        ("search run pictures/ --model net.py:build", "a model of your own, build(hp)"),
    ),
    "resume": (
        ("search resume pictures-study", "go on until its budget is used up"),
        ("search resume pictures-study --trials 400", "… or until there are 400 trials in all"),
    ),
    "check": (
        ("search check pictures/ --open", "files, classes, copies and groups, as a page"),
        ("search check pictures.zip", "the same of an archive"),
        (r"search check pictures/ --groups '(patient\d+)'", "which pictures stay in one fold"),
    ),
    "diagnose": (
        ("search diagnose pictures/ --open", "why the network of the question stays at chance"),
        ("search diagnose pictures/ --model net.py:build --seconds 300", "… and yours, with five minutes for changes"),
    ),
    "report": (
        ("search report", "the study here: how good, what next, report.html"),
        ("search report pictures-study --watch --open", "the page follows a search that runs"),
        ("search report pictures-study --csv", "all trials and fold runs as two tables too"),
        ("search report pictures-study --json > report.json", "for a script"),
    ),
    "log": (
        ("search log pictures-study --to tensorboard", "then: tensorboard --logdir pictures-study/tensorboard"),
        ("search log pictures-study --to mlflow --watch", "follow a search that runs"),
    ),
    "dashboard": (
        ("search dashboard pictures-study --open", "optuna-dashboard, read-only, on this machine alone"),
        ("search dashboard --port 8080", "the study here, always at the same address"),
    ),
    "explain": (
        ("search explain pictures-study --open", "from the default settings to the saved model"),
        ("search explain pictures-study --from 3 --to 17 --time 30m", "between two trials, within half an hour"),
    ),
    "export": (
        ("search export pictures-study --to model.keras", "one file that Keras alone loads"),
        ("search export pictures-study --to model.tflite --quantize int8", "for a phone, a quarter of the size"),
        ("search export pictures-study --to model.onnx --batch 1", "for onnxruntime, one picture at a time"),
        ("search export --to train.py", "plain Keras code that trains the winner of the study here"),
    ),
    "predict": (
        ("search predict pictures-study new/", "classify the pictures of a folder"),
        ("search predict model.keras a.jpg b.jpg --csv > answers.csv", "as a table"),
        ("search predict pictures-study new/ --unknown", "'unknown' for what is unlike all training pictures"),
    ),
    "compare": (
        ("search compare first-study second-study", "settings, scores, and whether one is better"),
        ("search compare *-study --json > compared.json", "all studies here, for a script"),
    ),
    "list": (
        ("search list", "the studies below this folder"),
        ("search list /data --json", "for a script"),
    ),
    "backup": (
        ("search backup pictures-study", "a copy beside it, even while it is searched"),
        ("search backup pictures-study --to /backups/pictures", "… or elsewhere"),
    ),
    "copy": (
        ("search copy pictures-study postgresql://me@host/lab", "onto a server"),
        ("search copy postgresql://me@host/lab/pictures-study here-again", "… and back"),
    ),
    "sweep": (
        ("search sweep sweep.toml", "data sets x presets x seeds, one table; again, it goes on"),
        ("search sweep sweep.toml --json > table.json", "for a script"),
    ),
    "verify": (
        ("search verify pictures-study", "every page, array, number and seed; exit code 1 if not"),
        ("search verify pictures-study --json", "for a script"),
    ),
    "space": (
        ("search space", "the space of the study here"),
        ("search space cnn", "a preset as a table"),
        ("search space --preview pictures/", "your pictures under every augmentation"),
    ),
    "backbones": (
        ("search backbones", "the pre-trained networks at hand"),
        ("search backbones --json", "for a script"),
    ),
    "env": (
        ("search env", "versions, processors, GPUs, extras"),
        ("search env --json > env.json", "for a report of a bug"),
    ),
}
"""Command -> (line, what it does) of each example. What comes after > is the shell's."""


def of(command: str) -> str:
    """The examples of a command for the end of its help; the \\b keeps their lines."""
    lines = EXAMPLES[command]
    width = max(len(line) for line, _ in lines)
    return "\b\nExamples:\n" + "\n".join(f"  {line:{width}}  # {what}" for line, what in lines)
