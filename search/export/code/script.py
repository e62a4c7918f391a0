"""A script that builds and trains the winner, from the same pictures, in plain Keras.

Beside it lie a table of the pictures with their classes and folds, and the pre-trained networks that the winner begins
with. What is the same in every script is copied from `plain.py`; networks are written layer by layer.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from search.export.code.points import Point, Winner, code_of, copy_of
from search.files import replacing
from spaces.facts import Facts

_PLAIN = Path(__file__).with_name("plain.py")
_ALWAYS = ("read_picture", "read_table", "from_pixels", "mean_of", "report", "save")


def write(winner: Winner, path: Path, table: str) -> list[Path]:
    """Write the script to `path`, with its `table` and pre-trained networks beside it. Returns all files.

    Raises OSError, and UsageError for what has no such code.
    """
    written = []
    backbones: dict[int, tuple[str, str]] = {}
    for point in winner.points:
        if point.family and point.family.frozen:
            beside = path.with_name(f"{path.stem}.{point.trial}.keras")
            backbones[point.trial] = beside.name, _write_backbone(point, winner.facts, beside)
            written.append(beside)
    if winner.own:
        copy = path.with_name(copy_of(winner.own, path.stem))
        written.append(copy)
        with replacing(copy) as partial:
            partial.write_bytes(Path(winner.own.path).read_bytes())
    text = render(winner, path.stem, backbones)
    csv = path.with_suffix(".csv")
    for file, content in ((csv, table), (path, text)):
        with replacing(file) as partial:
            partial.write_text(content, encoding="utf-8", newline="")
    return [path, csv, *written]


def _write_backbone(point: Point, facts: Facts, path: Path) -> str:
    """Write the pre-trained network as the point begins with it; returns the SHA-256 of the file."""
    assert point.family is not None and point.family.frozen is not None  # noqa: S101 - the caller asked
    backbone = point.family.frozen.backbone(point.params, facts)
    if point.family.frozen.heads:
        network = backbone.network(None if backbone.any_side else int(point.params["input_size"]))
    else:
        network = point.family.network(point.params, facts).get_layer("backbone")
    with replacing(path) as partial:
        network.save(partial)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def render(winner: Winner, stem: str, backbones: Mapping[int, tuple[str, str]]) -> str:
    """The script. `backbones`: trial -> (name of a file beside it, SHA-256). Raises UsageError."""
    made = [code_of(winner, point, stem, backbones.get(point.trial)) for point in winner.points]
    body = "\n\n\n".join(made)
    facts = winner.facts
    constants = (
        f"CLASSES = {list(winner.classes)!r}\n"
        f"HEIGHT, WIDTH, CHANNELS = {facts.height}, {facts.width}, {facts.channels}\n"
        f"SEED = {winner.seed}\n"
        "HERE = Path(__file__).parent"
    )
    copied = _copied(body)
    code = "\n\n\n".join([constants, *copied, body, _main(winner, stem)])
    return f"{_head(winner, stem)}\n\nfrom __future__ import annotations\n\n{_imports(code)}\n\n{code}\n"


def _head(winner: Winner, stem: str) -> str:
    svm = any(point.params.get("head") == "svm" for point in winner.points)
    needs = "keras, tensorflow, numpy and pillow" + (", and scikit-learn for its support vector machine" if svm else "")
    told = "\n".join(textwrap.fill(f"Trial {p.trial}: {p.told}", 100) for p in winner.points)
    name = _quiet(stem)
    return f'''"""Trains what `search` chose for the pictures {_quiet(winner.name)!r}, in plain Keras.

    python {name}.py PICTURES            trains on all pictures for training, and writes {name}.trained.keras
    python {name}.py PICTURES --folds    trains once a fold, without its pictures, and judges on these
    python {name}.py PICTURES --folds 5  the same five times, with other random numbers: what chance alone changes

PICTURES is the folder that was searched. {name}.csv lists its pictures, their classes and folds.
It needs {needs}.

{told}
"""'''


def _imports(code: str) -> str:
    """The import statements of `plain.py` that the code needs, in its groups."""
    source = _PLAIN.read_text(encoding="utf-8")
    statements = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    groups: list[list[str]] = [[], []]
    for node in statements:
        node.names = [one for one in node.names if (one.asname or one.name).partition(".")[0] in used]
        if getattr(node, "module", "") != "__future__" and node.names:
            top = (getattr(node, "module", None) or node.names[0].name).partition(".")[0]
            groups[top not in sys.stdlib_module_names].append(ast.unparse(node))
    return "\n\n".join("\n".join(group) for group in groups if group)


def _quiet(name: str) -> str:
    """A name for a docstring: nothing in it ends the docstring, or is an escape."""
    return "".join(letter if letter.isalnum() or letter in " ._-" else "_" for letter in name)


def _copied(body: str) -> list[str]:
    """The functions of `plain.py` that the script needs, in their order, as they stand there."""
    source = _PLAIN.read_text(encoding="utf-8")
    blocks = {
        node.name: (ast.get_source_segment(source, node) or "")
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    needed: set[str] = set()
    waiting = [*_ALWAYS, *(name for name in blocks if _names(body, name))]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [other for other in blocks if other != name and _names(blocks[name], other)]
    return [re.sub(r"  # noqa.*", "", text) for name, text in blocks.items() if name in needed]


def _names(text: str, name: str) -> bool:
    """Whether a text of code uses a name."""
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(ast.parse(text)))


def _main(winner: Winner, stem: str) -> str:
    shares: dict[int, float] = {}
    for part in winner.parts:
        shares[part.trial] = shares.get(part.trial, 0.0) + part.weight
    in_folds = "\n".join(
        f"                (train_{trial}(x[others], y[others]), {weight!r})," for trial, weight in shares.items()
    )
    whole = []
    for part in winner.parts:
        rows = "known" if part.left_out is None else f"known & (folds != {str(part.left_out)!r})"
        whole.append(f"        (train_{part.trial}(x[{rows}], y[{rows}]), {part.weight!r}),")
    listed = "\n".join(whole)
    return f'''def judge_in_folds(x: Any, y: Any, folds: Any, times: int = 1) -> None:
    """Train once a fold, without its pictures, and judge on these; so many times, with other random numbers each."""
    global SEED
    means = []
    for SEED in range(SEED, SEED + times):
        scores = []
        for fold in sorted(set(folds) - {{"", "test"}}, key=int):
            others, judged = (folds != fold) & (folds != "") & (folds != "test"), folds == fold
            models = [
{in_folds}
            ]
            scores.append(report(f"fold {{fold}}", mean_of(models, x[judged]), y[judged]))
        means.append(np.mean(scores))
        print(f"balanced accuracy, mean of the folds: {{means[-1]:.4f}}, deviation {{np.std(scores, ddof=1):.4f}}")
    if times > 1:
        print(f"mean of {{times}} times: {{np.mean(means):.4f}}, from {{min(means):.4f}} to {{max(means):.4f}}")


def train(x: Any, y: Any, folds: Any) -> None:
    """Train on all pictures for training, judge on those for testing, and write the model."""
    known = (folds != "") & (folds != "test")
    models = [
{listed}
    ]
    if (folds == "test").any():
        report("pictures for testing", mean_of(models, x[folds == "test"]), y[folds == "test"])
    save(models, HERE / "{_quiet(stem)}.trained.keras")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not all(map(str.isdecimal, sys.argv[3:])):
        sys.exit(__doc__)
    data = read_table(Path(__file__).with_suffix(".csv"), Path(sys.argv[1]))
    if "--folds" in sys.argv[2:]:
        judge_in_folds(*data, *map(int, sys.argv[3:]))
    else:
        train(*data)'''
