"""The same images give the same fingerprint and folds, however they lie and however their classes are said."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import search
from search.commands.request import Settings, search_of
from search.commands.run import run
from search.data.images import ImageSet, read_images
from search.session.prepare import prepare
from search.study.database import folds_of
from tests.pictures import make_pictures
from tests.search.commands.quiet import Remembering, session

CLASSES = {"cat": 8, "dog": 6}
TESTING = {"cat": 2, "dog": 2}


@dataclass(frozen=True)
class Picture:
    """One of the set: where the plain layout has it."""

    path: Path
    part: str  # training, testing
    label: str

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Lies:
    """A layout: what is named on the command line."""

    roots: tuple[Path, ...]
    options: dict[str, Any] = field(default_factory=dict)


Layout = Callable[[Path, list[Picture]], Lies]


def make_set(root: Path) -> list[Picture]:
    """The plain layout. Names are unique, so that one folder can hold all: `cat_t0003.png`."""
    make_pictures(root, CLASSES, testing=TESTING)
    found = []
    for path in sorted(root.rglob("*.png")):
        part, label = path.parent.parent.name, path.parent.name
        target = path.with_name(f"{label}_{part[1]}{path.name}")
        path.rename(target)
        found.append(Picture(target, part, label))
    return found


def placed(root: Path, pictures: list[Picture], where: Callable[[Picture], str]) -> Path:
    """A folder with each picture where it is said to be."""
    for picture in pictures:
        target = root / where(picture) / picture.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture.path, target)
    return root


def folders(*, training: str, testing: str) -> Layout:
    parts = {"training": training, "testing": testing}

    def lie(root: Path, pictures: list[Picture]) -> Lies:
        return Lies((placed(root / "set", pictures, lambda each: parts[each.part].format(each.label)),))

    return lie


def validation(root: Path, pictures: list[Picture]) -> Lies:
    """Every third training picture lies in a folder of validation: the order of names is another than of folders."""
    place = {each.name: "valid" if number % 3 == 0 else "train" for number, each in enumerate(pictures)}
    return Lies(
        (placed(root / "set", pictures, lambda e: f"{'test' if e.part == 'testing' else place[e.name]}/{e.label}"),)
    )


def table(content: Callable[[list[Picture]], str], name: str = "labels.csv", columns: str | None = None) -> Layout:
    def lie(root: Path, pictures: list[Picture]) -> Lies:
        flat = placed(root / "flat", pictures, lambda _: "images")
        (root / name).write_text(content(pictures), encoding="utf-8")
        options = {"labels": root / name, **({"label_columns": columns} if columns else {})}
        return Lies((flat,), options)

    return lie


def rows(header: str, row: str, part: dict[str, str] | None = None) -> Callable[[list[Picture]], str]:
    names = part or {"training": "train", "testing": "test"}

    def content(pictures: list[Picture]) -> str:
        lines = [
            row.format(
                name=each.name,
                stem=each.path.stem,
                label=each.label,
                part=names[each.part],
                cat=int(each.label == "cat"),
                dog=int(each.label == "dog"),
            )
            for each in pictures
        ]
        return "\n".join([header, *lines]) + "\n"

    return content


def table_of_parts(root: Path, pictures: list[Picture]) -> Lies:
    """The table does not say what a picture is for; the folders do."""
    root = placed(root / "set", pictures, lambda each: each.part)
    text = "\n".join(["file,label", *(f"{each.part}/{each.name},{each.label}" for each in pictures)])
    (root / "labels.csv").write_text(text, encoding="utf-8")
    return Lies((root,), {"labels": root / "labels.csv"})


def names(pattern: str) -> Layout:
    def lie(root: Path, pictures: list[Picture]) -> Lies:
        parts = {"training": "Train", "testing": "Test"}
        return Lies((placed(root / "set", pictures, lambda each: parts[each.part]),), {"label_pattern": pattern})

    return lie


def in_archive(name: str, member: str = "{part}/{label}/{name}") -> Layout:
    def lie(root: Path, pictures: list[Picture]) -> Lies:
        path = root / name
        named = [(each, member.format(part=each.part, label=each.label, name=each.name)) for each in pictures]
        if name.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                for each, inside in named:
                    archive.write(each.path, inside)
                    archive.infolist()[-1].filename = inside  # backslashes too
        else:
            with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as archive:
                for each, inside in named:
                    archive.add(each.path, inside)
        return Lies((path,))

    return lie


def table_of_an_archive(root: Path, pictures: list[Picture]) -> Lies:
    (archive,) = in_archive("set.zip", "images/{name}")(root, pictures).roots
    lies = table(rows("path,label,split", "{name},{label},{part}"))(root, pictures)
    return Lies((archive,), lies.options)


def two_folders(root: Path, pictures: list[Picture]) -> Lies:
    """Every second picture of each class lies in another place, which is an archive."""
    placed(root / "first", pictures[::2], lambda each: f"{each.part}/{each.label}")
    (archive,) = in_archive("second.tar", "pics/{part}/{label}/{name}")(root, pictures[1::2]).roots
    return Lies((root / "first", archive))


def two_parts(root: Path, pictures: list[Picture]) -> Lies:
    placed(root / "set", pictures, lambda each: f"{each.part}/{each.label}")
    return Lies((root / "set" / "testing", root / "set" / "training"))


def more_classes(root: Path, pictures: list[Picture]) -> Lies:
    """One class too many, and one in two folders."""
    kittens = [each.name for each in pictures if each.label == "cat"][::2]
    placed(root / "set", pictures, lambda e: f"{e.part}/{'kitten' if e.name in kittens else e.label}")
    make_pictures(root / "birds", {"bird": 4}, testing={"bird": 2}, seed=9)
    for part in ("training", "testing"):
        shutil.copytree(root / "birds" / part / "bird", root / "set" / part / "bird")
    return Lies((root / "set",), {"classes": ["cat", "dog"], "merge": ["cat=cat+kitten"]})


LAYOUTS: dict[str, Layout] = {
    "train, test": folders(training="train/{}", testing="test/{}"),
    "other words and case": folders(training="TrainingSet/{}", testing="TEST/{}"),
    "further down": folders(training="data/train/{}", testing="data/test/{}"),
    "a middle level": folders(training="seg_train/seg_train/{}", testing="seg_test/seg_test/{}"),
    "parts in the classes": folders(training="{}/train", testing="{}/test"),
    "parts in the names": folders(training="{}_train", testing="{}_test"),
    "folders in the classes": folders(training="images/train/{}", testing="images/test/{}"),
    "validation": validation,
    "table": table(rows("path,label,split", "images/{name},{label},{part}")),
    "table without endings": table(rows("image_id,set,breed", "{stem},{part},{label}")),
    "table of another machine": table(
        rows("age;Split;Label;File", "3;{part};{label};/data/x/images/{name}", {"training": "", "testing": "Testing"})
    ),
    "table with tabs": table(rows("filename\tclass\tsubset", "{name}\t{label}\t{part}"), "labels.tsv"),
    "table of 0 and 1": table(rows("file,split,cat,dog", "{name},{part},{cat},{dog}")),
    "table with named columns": table(rows("a,b,c,d", "{stem},7,{part},{label}"), columns="path=a, label=d, split=c"),
    "table of pictures in parts": table_of_parts,
    "names": names("^(?P<label>[a-z]+)_"),
    "paths": names("T[a-z]+/([a-z]+)_"),
    "zip": in_archive("set.zip"),
    "zip with a folder around": in_archive("set.zip", "top/{part}/{label}/{name}"),
    "zip of Windows": in_archive("set.zip", "{part}\\{label}\\{name}"),
    "tar": in_archive("set.tar"),
    "tar.gz": in_archive("set.tar.gz", "./{part}/{label}/{name}"),
    "tgz": in_archive("SET.TGZ", "top/{part}/{label}/{name}"),
    "zip and table": table_of_an_archive,
    "two places": two_folders,
    "two places for two parts": two_parts,
    "classes merged and left out": more_classes,
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    return make_set(tmp_path_factory.mktemp("plain") / "set")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def root_of(pictures: list[Picture]) -> Path:
    return pictures[0].path.parent.parent.parent


def read(lies: Lies) -> tuple[ImageSet, list[int], dict[str, Any]]:
    """The images, their folds, and what else decides a result, as a study of them would have it."""
    asked = Settings(preset="cnn", folds=3, also=lies.roots[1:], **lies.options)
    request = search_of(lies.roots[0], None, asked)
    prepared = prepare(request.config, request.folder.path)
    return prepared.images, folds_of(prepared, 0).tolist(), prepared.identity


@pytest.mark.parametrize("name", LAYOUTS)
def test_fingerprint_folds_and_pixels(name: str, home: Path, pictures: list[Picture]) -> None:
    plain, folds, identity = read(Lies((root_of(pictures),)))
    images, its_folds, its_identity = read(LAYOUTS[name](home, pictures))
    assert images.fingerprint == plain.fingerprint
    assert its_folds == folds
    assert its_identity == identity
    assert (images.pixels == plain.pixels).all()
    assert images.classes == ("cat", "dog") and int(images.testing.sum()) == 4


def test_other_images_have_other_fingerprints(home: Path, pictures: list[Picture]) -> None:
    """The names of files count, and so does each label and what an image is for."""
    plain = read_images(root_of(pictures)).fingerprint
    for number, change in enumerate(("label", "part", "name")):
        root = placed(home / str(number), pictures, lambda each: f"{each.part}/{each.label}")
        first = root / "training" / "cat" / "cat_r0000.png"
        target = {"label": "training/dog/x.png", "part": "testing/cat/x.png", "name": "training/cat/x.png"}[change]
        first.rename(root / target)
        assert read_images(root).fingerprint != plain, change


def test_a_group_of_the_table_of_labels_is_a_group_of_a_table_of_groups(home: Path, pictures: list[Picture]) -> None:
    who = {each.name: each.path.stem[-1] for each in pictures if each.part == "training"}
    lines = [f"{each.name},{each.label},{each.part},{who.get(each.name, '')}" for each in pictures]
    (home / "labels.csv").write_text("\n".join(["file,label,split,Patient ID", *lines]))
    paths = [f"{each.part}/{each.label}/{each.name},{who.get(each.name, '')}" for each in pictures]
    (home / "groups.csv").write_text("\n".join(["path,group", *paths]))
    flat = placed(home / "flat", pictures, lambda _: "")
    _, folds, identity = read(Lies((root_of(pictures),), {"groups": "groups.csv"}))
    _, its_folds, its_identity = read(Lies((flat,), {"labels": home / "labels.csv"}))
    assert (its_folds, its_identity) == (folds, identity)
    assert "a table" in identity["groups"]


def test_python_takes_the_same(home: Path, pictures: list[Picture]) -> None:
    lies = two_folders(home, pictures)
    found = search.check(list(lies.roots), classes=["cat", "dog"], quiet=True)
    assert (found.name, found.images, found.testing) == ("first+second", 18, 4)
    assert "Read as one set from 2 places: first, second.tar." in found.reading
    with pytest.raises(search.UsageError, match="name one folder of images at least"):
        search.check([])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zip and table", "two places"])
def test_the_result_is_the_same(name: str, home: Path, pictures: list[Picture]) -> None:
    scores = []
    for number, lies in enumerate((Lies((root_of(pictures),)), LAYOUTS[name](home, pictures))):
        asked = Settings(preset="cnn", trials=1, folds=2, epochs=1, also=lies.roots[1:], **lies.options)
        done = run(lies.roots[0], asked, session(Remembering()), directory=Path(f"study{number}"))
        with done.folder.read() as store:
            (trial,) = store.trials()
            scores.append([(fold.fold, fold.seed, dict(fold.scores), dict(fold.curve)) for fold in trial.folds])
    assert scores[0] == scores[1]
