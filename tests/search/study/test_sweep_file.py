"""`sweep.toml`: which studies it means, in which order, and what it cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.errors import UsageError
from search.study.sweep_file import read_sweep
from tests.warm import ROOT


def written(folder: Path, text: str) -> Path:
    for name in ("cats", "dogs"):
        (folder / name).mkdir(exist_ok=True)
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def test_every_data_set_and_preset_has_the_first_seed_before_any_has_the_second(tmp_path: Path) -> None:
    text = 'presets = ["cnn", "frozen"]\nseeds = [3, 1]\n[images]\ncats = "cats"\ndogs = "dogs"\n'
    cells = read_sweep(written(tmp_path, text + "[settings]\ntrials = 5\n[settings.training]\npatience = 2\n"))
    assert [cell.folder.path.relative_to(tmp_path).as_posix() for cell in cells] == [
        f"sweep/{data}-{preset}-{seed}" for seed in (3, 1) for data in ("cats", "dogs") for preset in ("cnn", "frozen")
    ]
    assert cells[0].images == tmp_path / "cats"
    assert cells[-1].changes == {"trials": 5, "training.patience": 2, "preset": "frozen", "seed": 1}


def test_the_least_that_it_says_is_one_study(tmp_path: Path) -> None:
    (cell,) = read_sweep(written(tmp_path, '[images]\ncats = "cats"\n'))
    assert (cell.data, cell.preset, cell.seed) == ("cats", "auto", 0)


def test_paths_in_its_settings_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "breeds.csv").write_text("path,label\n")
    settings = """
also = ["dogs", "/"]
labels = "breeds.csv"
groups = "people.csv"
storage = "postgresql://ada@host/db"
[settings.weights]
mobilenetv2 = "mobile.keras"
resnet50 = "keras"
mine = "~/mine"
"""
    (cell,) = read_sweep(written(tmp_path, f'[images]\ncats = "cats"\n[settings]{settings}'))
    here = tmp_path.resolve()
    assert cell.changes == {
        "also": [str(here / "dogs"), "/"],
        "labels": str(here / "breeds.csv"),
        "groups": str(here / "people.csv"),
        "storage": "postgresql://ada@host/db",
        "weights.mobilenetv2": str(here / "mobile.keras"),
        "weights.resnet50": "keras",
        "weights.mine": "~/mine",
        "preset": "auto",
        "seed": 0,
    }
    (cell,) = read_sweep(written(tmp_path, '[images]\ncats = "cats"\n[settings]\ngroups = "(.+)-"\n'))
    assert cell.changes["groups"] == "(.+)-"


def test_a_data_set_may_be_an_archive_or_have_its_own_table_of_labels(tmp_path: Path) -> None:
    (tmp_path / "birds.zip").write_bytes(b"")
    (tmp_path / "breeds.csv").write_text("path,label\n")
    text = """
[images]
birds = "birds.zip"
[images.breeds]
images = "dogs"
also = ["cats"]
labels = "breeds.csv"
classes = ["pug"]
groups = "people.csv"
[settings]
classes = ["robin", "wren"]
"""
    birds, breeds = read_sweep(written(tmp_path, text))
    here = tmp_path.resolve()
    assert (birds.images, birds.changes["classes"]) == (here / "birds.zip", ["robin", "wren"])
    assert breeds.images == here / "dogs" and "labels" not in birds.changes
    assert {key: breeds.changes[key] for key in ("also", "labels", "classes", "groups")} == {
        "also": [str(here / "cats")],
        "labels": str(here / "breeds.csv"),
        "classes": ["pug"],
        "groups": str(here / "people.csv"),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "[images] is missing: write a line [images], and below it a line for each data set, its name and folder"),
        ("[images]", "[images] is empty: write a line [images], and below it a line for each data set"),
        ('images = "cats"', "images: must be a table: write a line [images], and below it"),
        ('[images]\n"../x" = "cats"', "images: a name has letters"),
        ("[images]\ncats = 3", "images.cats: must be a folder or an archive, got 3"),
        ('[images.cats]\nlabels = "a.csv"', "images.cats.images: must be a folder or an archive, got ''"),
        ('[images.cats]\nimages = "cats"\nseed = 1', "images.cats.seed: no such key of a data set"),
        ('[images.cats]\nimages = "cats"\nlabels = "a.csv"', "a.csv, its table of labels, is not there"),
        ('[images.cats]\nimages = "cats"\nalso = ["birds"]', "birds is no folder of images, and no archive"),
        ('[images.cats]\nimages = "cats"\nclasses = 3', "classes: must be"),
        ('[images]\ncats = "sweep.toml"', "sweep.toml is no folder of images, and no archive of one (.zip, "),
        ('[images]\nbirds = "birds"', "images.birds: "),
        ('seed = [1]\n[images]\ncats = "cats"', "seed: no such key"),
        ('seeds = 3\n[images]\ncats = "cats"', "seeds: must be a list of whole numbers"),
        ('seeds = [1, 1]\n[images]\ncats = "cats"', "seeds: must be a list of whole numbers, each once"),
        ('seeds = [1.5]\n[images]\ncats = "cats"', "seeds: must be a list of whole numbers"),
        ('seeds = [-1]\n[images]\ncats = "cats"', "seed: must be at least 0"),
        ('presets = ["cmm"]\n[images]\ncats = "cats"', "preset: must be one of"),
        ('[images]\ncats = "cats"\n[settings]\nseed = 1', "settings.seed: the sweep sets it itself"),
        ('[images]\ncats = "cats"\n[settings]\ntrails = 1', "trails: no such key"),
        ('[images]\ncats = "cats"\n[settings]\ntrials = 0', "trials: must be at least 1"),
        (
            '[images]\ncats = "cats"\n[settings]\nstorage = "postgresql://ada@host/db/one"',
            "settings.storage: the sweep has several studies",
        ),
        ('[images]\ncats = "cats"\n[settings]\nstorage = "mysql://host"', "storage: must be postgresql://"),
        ('[images]\ncats = "cats"\n[settings]\nlabels = 3', "labels: must be text"),
        ("[images", "sweep.toml"),
    ],
)
def test_what_it_cannot_say_is_refused_before_anything_is_made(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_sweep(written(tmp_path, text))
    assert words in str(raised.value)
    assert not (tmp_path / "sweep").exists()


def test_the_example_of_the_documentation_is_one(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for name in ("animals", "clothes"):
        (tmp_path / name).mkdir()
    text = (ROOT / "docs" / "sweeps.md").read_text().split("```text\n")[1].split("```")[0]
    cells = read_sweep(written(tmp_path / "here", text))
    assert len(cells) == 12 and cells[0].folder.path == tmp_path / "here" / "sweep" / "animals-auto-0"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_sweep(tmp_path / "none.toml")
