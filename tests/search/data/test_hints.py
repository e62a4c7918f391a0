"""Pictures without class folders: the refusal says what was seen, and its command or lines of Python read them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from search.data.images import read_images
from search.data.origin import Origin
from search.errors import UsageError
from tests.pictures import noise, write


def refusal(root: Path) -> str:
    with pytest.raises(UsageError) as refused:
        read_images(root)
    return str(refused.value)


def run_lines(message: str, folder: Path) -> None:
    """Run the lines of Python of a message, as a user would."""
    lines = [line.removeprefix("  ") for line in message.splitlines()[1:]]
    assert lines
    subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=folder, check=True)


def proposed(message: str) -> Origin:
    """What the command of a message would read."""
    ((command,),) = (re.findall("`(search run [^`]+)`", message),)
    _, _, root, option, value = shlex.split(command)
    assert option in ("--labels", "--label-pattern")
    if option == "--labels":
        return Origin((Path(root),), labels=Path(value))
    return Origin((Path(root),), pattern=value)


def picture(path: Path, number: int) -> None:
    write(path, noise(np.random.default_rng(number), 8))


class TestTables:
    @pytest.mark.parametrize(
        ("table", "header", "row"),
        [
            ("labels.csv", "id,breed", "{stem},{label}"),
            ("train.csv", "label,weight,image", "{label},3,images/{stem}.png"),
            ("list.tsv", "File\tClass\tsplit", "{stem}.png\t{label}\ttrain"),
            ("one_hot.csv", "name, oak tree, elm", "{stem}.png, {first}, {second}"),
            ("semi.csv", "x;filename;category", "1;{stem}.png;{label}"),
        ],
    )
    def test_a_table_beside_a_folder_of_pictures(self, tmp_path: Path, table: str, header: str, row: str) -> None:
        rows = [header]
        for number in range(6):
            picture(tmp_path / "set" / "images" / f"p{number}.png", number)
            values = {"first": int(number < 3), "second": int(number >= 3), "label": ("oak tree", "elm")[number // 3]}
            rows.append(row.format(stem=f"p{number}", **values))
        (tmp_path / "set" / table).write_text("\n".join(rows), encoding="utf-8")
        message = refusal(tmp_path / "set")
        assert f"'{table}' lies beside 6 pictures and names 2 classes of 6 of them: `search run " in message
        assert read_images(proposed(message)).classes == ("elm", "oak tree")

    def test_a_table_in_each_part(self, tmp_path: Path) -> None:
        for part, count in (("train", 6), ("valid", 4)):
            rows = ["filename,kind"]
            for number in range(count):
                picture(tmp_path / "set" / part / f"{number}.png", 10 * count + number)
                rows.append(f"{number}.png,{'ab'[number % 2]}")
            (tmp_path / "set" / part / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
        run_lines(refusal(tmp_path / "set"), tmp_path)
        assert len(read_images(tmp_path / "sorted").paths) == 10

    def test_a_table_is_of_the_training_pictures_where_two_parts_have_the_same_names(self, tmp_path: Path) -> None:
        for part in ("test", "train"):
            for number in range(4):
                picture(tmp_path / "set" / part / f"{number}.png", number + 10 * len(part))
        rows = ["id,kind", *(f"{number},{'ab'[number % 2]}" for number in range(4))]
        (tmp_path / "set" / "train.csv").write_text("\n".join(rows), encoding="utf-8")
        images = read_images(proposed(refusal(tmp_path / "set")))
        assert [path.partition("/")[0] for path in images.paths] == ["train"] * 4

    def test_labels_of_boxes_are_named_as_such(self, tmp_path: Path) -> None:
        for number in range(4):
            for part in ("train", "val"):
                picture(tmp_path / "set" / "images" / part / f"{number}.png", number)
                labels = tmp_path / "set" / "labels" / part / f"{number}.txt"
                labels.parent.mkdir(parents=True, exist_ok=True)
                labels.write_text("0 0.5 0.5 0.1 0.1", encoding="utf-8")
        message = refusal(tmp_path / "set")
        assert "8 text files are named like pictures ('labels/" in message and "object detection" in message

    def test_labels_lead_nowhere_else(self, tmp_path: Path) -> None:
        home = tmp_path / "above" / "home"
        for number, label in enumerate(["../../out", "/etc", "..", "ok", "ok", "'+\"}{"]):
            part = home / "set" / ("train", "valid")[number % 2]
            picture(part / f"{number}.png", number)
            with (part / "labels.csv").open("a", encoding="utf-8") as table:
                table.write(
                    f"file,label']); print('x\n{number}.png,{label}\n" if number < 2 else f"{number}.png,{label}\n"
                )
        before = {path for path in tmp_path.rglob("*") if home / "sorted" not in path.parents}
        run_lines(refusal(home / "set"), home)
        after = {path for path in tmp_path.rglob("*") if home / "sorted" not in path.parents}
        assert after - before == {home / "sorted"}
        assert len(list((home / "sorted").rglob("*.png"))) == 6

    @pytest.mark.parametrize("table", ["labels.json", "labels.xlsx", "answers.csv"])
    def test_a_table_that_is_not_understood_is_named(self, tmp_path: Path, table: str) -> None:
        picture(tmp_path / "train" / "0.png", 0)
        (tmp_path / table).write_text("{}")
        assert f"'{table}' lies beside 1 picture: if it has the labels" in refusal(tmp_path)

    def test_no_table_is_named_where_classes_are(self, tmp_path: Path) -> None:
        picture(tmp_path / "a" / "0.png", 0)
        picture(tmp_path / "a" / "1.png", 1)
        assert "labels" not in refusal(tmp_path)


@pytest.mark.parametrize(
    "names", [("cat.{}", "dog.{}"), ("Abyssinian_{}", "great_pyrenees_{}"), ("oak ({})", "elm ({})"), ("a-{}", "b-{}")]
)
def test_classes_in_the_names_of_files(tmp_path: Path, names: tuple[str, str]) -> None:
    for place, name in enumerate(names):
        for number in range(3):
            picture(tmp_path / "set" / "train" / f"{name.format(number)}.png", 3 * place + number)
    message = refusal(tmp_path / "set")
    assert "The names of 6 pictures begin with 2 words" in message
    found = read_images(proposed(message)).classes
    assert found == tuple(sorted(name.format("").rstrip("()_-. ") for name in names))


def test_classes_in_the_names_of_training_pictures_beside_more_that_are_numbered(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / "train" / f"{'ab'[number % 2]}.{number}.png", number)
        picture(tmp_path / "test" / f"{number}.png", 10 + number)
        picture(tmp_path / "test" / f"{number + 4}.png", 20 + number)
    message = refusal(tmp_path)
    assert (
        "'test', 'train' hold no class folders" in message and "The names of 4 pictures begin with 2 words" in message
    )


def test_the_folder_of_one_class(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}.png", number)
    assert "3 pictures lie in this folder itself: if it is one of the classes, name the folder" in refusal(tmp_path)


def test_numbered_pictures_have_no_classes_in_their_names(tmp_path: Path) -> None:
    for number in range(6):
        picture(tmp_path / f"IMG_{number}.png", number)
    assert "begin with" not in refusal(tmp_path)


def test_backslashes_of_a_zip_from_windows(tmp_path: Path) -> None:
    for number in range(8):
        picture(tmp_path / "set" / f"fruit\\{'ab'[number % 2]}\\{number}.png", number)
    picture(tmp_path / "set" / "up\\..\\..\\..\\out.png", 9)
    message = refusal(tmp_path / "set")
    assert "9 files have a backslash in the name" in message
    run_lines(message, tmp_path)
    assert read_images(tmp_path / "set").classes == ("a", "b")
    assert not (tmp_path.parent / "out.png").exists()


class TestEverythingLeftOut:
    def test_the_first_of_each_kind_is_in_the_message(self, tmp_path: Path) -> None:
        for number in range(4):
            (tmp_path / "a").mkdir(exist_ok=True)
            (tmp_path / "a" / f"{number}.psd").write_bytes(b"8BPS" + bytes(20))
            (tmp_path / "a" / f"{number}.jpg").write_bytes(b"")
        (tmp_path / "a" / "Thumbs.db").write_bytes(b"")
        message = refusal(tmp_path)
        assert (
            "(left out: 1 hidden, 4 unreadable, 4 unsupported format; a/0.jpg: An empty file: left out (… and 3 more); "
            in message
        )
        assert "a/0.psd: Format PSD is not read: convert it to PNG or JPEG. Left out (… and 3 more))" in message

    def test_links_that_lead_out_come_with_the_step(self, tmp_path: Path) -> None:
        for name in "ab":
            for number in range(2):
                picture(tmp_path / "blobs" / f"{name}{number}.png", number)
                (tmp_path / "my set" / name).mkdir(parents=True, exist_ok=True)
                (tmp_path / "my set" / name / f"{number}.png").symlink_to(tmp_path / "blobs" / f"{name}{number}.png")
        message = refusal(tmp_path / "my set")
        assert "leads out of the folder: not followed" in message and "(… and 3 more)" in message
        assert f"`cp -rL '{tmp_path}/my set' real` makes a folder of real files" in message
