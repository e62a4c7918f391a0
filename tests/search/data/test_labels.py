"""Labels in a table or in names: what fits is read, and what does not is named, with counts."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data import patterns
from search.data.check import check_images, notes_for_report
from search.data.images import ImageSet, read_images
from search.data.label_table import by_table
from search.data.labels import by_pattern, candidates
from search.data.origin import Origin
from search.data.tree import read_tree
from search.errors import UsageError
from tests.pictures import make_pictures, plain, write

NAMES = [f"{label}_{number}.png" for label in ("oak", "elm") for number in range(3)]


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Six pictures in one folder, three of each class by their names."""
    make_pictures(tmp_path / "made", {"oak": 3, "elm": 3})
    for name in NAMES:
        label, number = name.removesuffix(".png").split("_")
        target = tmp_path / "flat" / name
        target.parent.mkdir(exist_ok=True)
        (tmp_path / "made" / label / f"000{number}.png").rename(target)
    return tmp_path / "flat"


def table(flat: Path, *lines: str, columns: str | None = None) -> Origin:
    path = flat.parent / "labels.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return Origin((flat,), labels=path, columns=columns)


def all_rows(names: list[str] = NAMES) -> list[str]:
    return [f"{name},{name.partition('_')[0]}" for name in names]


def refusal(origin: Origin) -> str:
    with pytest.raises(UsageError) as refused:
        read_images(origin)
    message = str(refused.value)
    assert "\n" not in message
    return message


def left_out(images: ImageSet) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for note in images.notes:
        if note.left_out:
            kinds.setdefault(note.kind, []).append(note.path)
    return kinds


class TestTables:
    def test_what_is_missing_on_either_side_is_left_out_and_counted(self, flat: Path) -> None:
        write(flat / "new.png", plain(1))
        (flat / "notes.txt").write_text("no picture")
        images = read_images(table(flat, "file,label", *all_rows(), "gone.png,oak", "lost.png,elm", "new.png,"))
        assert left_out(images) == {
            "empty label": ["new.png"],
            "missing file": ["gone.png", "lost.png"],
            "not an image": ["notes.txt"],
        }
        assert images.classes == ("elm", "oak") and len(images.paths) == 6
        images = read_images(table(flat, "file,label", *all_rows(NAMES[:2] + NAMES[3:])))
        assert left_out(images)["no label"] == ["new.png", "oak_2.png"]
        checked = check_images(images, None, Path(), 2)
        assert images.reading in checked.sentences
        assert "Left out of the images: 2 no label, 1 not an image." in notes_for_report(images, checked)

    def test_rows_that_say_the_same_twice_are_read(self, flat: Path) -> None:
        assert len(read_images(table(flat, "file,label", *all_rows(), *all_rows())).paths) == 6

    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            (
                ["file,label", *all_rows(), "oak_0.png,elm"],
                "1 picture has rows that contradict: oak_0.png is both 'oak'",
            ),
            (
                ["file,label,patient", *(f"{row},1" for row in all_rows()), "elm_0.png,elm,2"],
                "in the groups '1' and '2'",
            ),
            (
                ["file,label,split", *(f"{row},train" for row in all_rows()), "elm_0.png,elm,test"],
                "elm_0.png is for training and for testing in the lines 5 and 8",
            ),
            (["file,oak,elm", "oak_0.png,1,1", "elm_1.png,0,1"], "oak_0.png is both 'oak' and 'elm' in line 2"),
            (["file,label,split", "oak_0.png,oak,train", "oak_1.png,oak,later"], "says 'later' (line 3)"),
            (["file,label", "a.png,oak", "b.png,elm"], "names none of the 6 pictures, such as 'elm_0.png' ('a.png' is"),
            (["file,label"], "names none of the 6 pictures, such as 'elm_0.png' (it has no rows)"),
            ([], "has the columns none, and none is known as the path of a picture; name them, as in: --label-columns"),
            (["file,height,width", "oak_0.png,7,9"], "and none is known as the label; name them"),
            (["oak_0.png,oak", "elm_0.png,elm"], "begins with a picture, oak_0.png, oak; its first line must name"),
            (['file,label\n"a"b,c'], "is not CSV"),
            (
                ["file,label", *(f"{row}{number}" for number, row in enumerate(all_rows()))],
                "every class needs at least 2",
            ),
        ],
    )
    def test_what_contradicts_or_cannot_be_told_is_refused(self, flat: Path, lines: list[str], said: str) -> None:
        assert said in refusal(table(flat, *lines))

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            ("path=file,label=kind", "has no column 'kind', but file, label"),
            ("path", "must be such as path=file,label=breed"),
            ("path=file,path=label", "with path, label, group, split once at most"),
            ("colour=file", "must be such as path=file,label=breed"),
        ],
    )
    def test_columns_that_are_named_wrongly(self, flat: Path, columns: str, said: str) -> None:
        message = refusal(table(flat, "file,label", *all_rows(), columns=columns))
        assert message.startswith("label_columns: ") and said in message

    def test_a_picture_of_which_there_are_several_is_refused_unless_its_path_tells(self, flat: Path) -> None:
        (flat / "more").mkdir()
        write(flat / "more" / "oak_0.png", plain(200))
        rows = all_rows()
        assert left_out(read_images(table(flat, "file,label", *rows)))["no label"] == ["more/oak_0.png"]
        (flat / "oak_0.png").rename(flat / "more" / "x.png").rename(flat / "oak_0.gif")
        (flat / "less").mkdir()
        write(flat / "less" / "oak_0.png", plain(201))
        message = refusal(table(flat, "file,label", *rows))
        assert (
            "1 row names pictures of which there are several: oak_0.png (line 2) may be less/oak_0.png and more/"
            in message
        )
        assert len(read_images(table(flat, "file,label", "more/oak_0.png,oak", *rows[1:])).paths) == 6

    def test_a_column_called_set_may_mean_anything(self, flat: Path) -> None:
        images = read_images(table(flat, "file,label,set", *(f"{row},blue" for row in all_rows())))
        assert not images.testing.any() and "set" not in images.reading

    def test_a_number_of_each_picture_is_no_label(self, tmp_path: Path) -> None:
        rows = "".join(f"{number}.png,{number}\n" for number in range(1001))
        for number in range(1001):
            (tmp_path / f"{number}.png").touch()
        (tmp_path / "t.csv").write_text("file,label\n" + rows)
        with pytest.raises(UsageError, match="gives 1,001 different labels, and at most 1,000 are read"):
            by_table(tmp_path / "t.csv", None, candidates([read_tree(tmp_path)]))

    def test_a_pattern_beside_it_is_refused(self, flat: Path) -> None:
        origin = table(flat, "file,label", *all_rows())
        assert "leave one of them out" in refusal(Origin((flat,), labels=origin.labels, pattern="(a)"))

    @pytest.mark.parametrize("name", ["gone.csv", "flat", "sheet.xlsx"])
    def test_a_file_that_is_no_table(self, flat: Path, name: str) -> None:
        (flat.parent / "sheet.xlsx").write_bytes(b"PK\x03\x04")
        assert refusal(Origin((flat,), labels=flat.parent / name)).startswith(f"labels: {flat.parent / name} ")


class TestPatterns:
    def test_pictures_that_do_not_match_are_left_out_and_named(self, flat: Path) -> None:
        write(flat / "7.png", plain(1))
        images = read_images(Origin((flat,), pattern="^([a-z]+)_"))
        assert left_out(images) == {"no label": ["7.png"]}
        assert images.reading == "Read as: the class of each picture from its name by ^([a-z]+)_."

    @pytest.mark.parametrize(
        ("pattern", "said"),
        [
            ("([a-z]", "is no regular expression"),
            ("[a-z]+", "must have one group in parentheses, or one that is named label"),
            ("([a-z])([a-z])", "must have one group in parentheses"),
            ("(zebra)_", "is found in none of the 6 pictures, such as 'elm_0.png'"),
            ("flat/([a-z]+)_", "is found in none of the 6 pictures"),
            ("(x*)", "is found in none of the 6 pictures"),
        ],
    )
    def test_what_is_no_pattern_or_fits_nothing(self, flat: Path, pattern: str, said: str) -> None:
        message = refusal(Origin((flat,), pattern=pattern))
        assert message.startswith("label_pattern: ") and said in message

    @pytest.mark.parametrize("pattern", ["(a+)+$", "(?P<label>(.*a){30}c)"])
    def test_one_that_takes_for_ever_is_given_up(
        self, tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patterns, "_SECONDS", 0.05)
        (tmp_path / ("a" * 60 + "b.png")).touch()
        with pytest.raises(UsageError, match=r"must be found in all 1 names within 0[.]05 s, and was not"):
            by_pattern(pattern, candidates([read_tree(tmp_path)]))


ANY = st.text(st.one_of(st.sampled_from(',;\t"\n\r\\/.=_ \0\ufeff'), st.characters()), max_size=40)
CELL = st.one_of(ANY, st.sampled_from([*NAMES, "oak", "elm", "train", "test", "1", "0", "", "../oak_0.png", "/oak_0"]))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flat")
    for name in [*NAMES, "labels.png"]:
        (root / name).touch()
    return root


@given(
    header=st.lists(st.one_of(ANY, st.sampled_from(["path", "file", "label", "group", "split"])), max_size=4),
    lines=st.lists(st.lists(CELL, max_size=4), max_size=6),
    content=st.one_of(st.none(), st.binary(max_size=60)),
    columns=st.one_of(st.none(), ANY, st.sampled_from(["path=path,label=label", "label=", "=,=", "path=,label=x"])),
)
@settings(max_examples=150, deadline=None)
def test_any_table_is_read_or_refused_in_one_message(
    pictures: Path, header: list[str], lines: list[list[str]], content: bytes | None, columns: str | None
) -> None:
    path = pictures.parent / "any.csv"
    text = "\n".join(",".join(line) for line in [header, *lines])
    path.write_bytes(text.encode("utf-8", "replace") if content is None else content)
    files = candidates([read_tree(pictures)])
    try:
        labels = by_table(path, columns, files)
    except UsageError as error:
        assert str(error).startswith(("labels: ", "label_columns: "))
        assert re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*", str(error))
        return
    assert {files[place].path.name for place in labels.of} <= {*NAMES, "labels.png"}
    assert all(label.name.strip() for label in labels.of.values())


@given(pattern=st.text(st.sampled_from(string.printable + "é\0"), max_size=20))
@settings(max_examples=150, deadline=None)
def test_any_pattern_is_searched_or_refused_in_one_message(pictures: Path, pattern: str) -> None:
    files = candidates([read_tree(pictures)])
    try:
        labels = by_pattern(pattern, files)
    except UsageError as error:
        assert str(error).startswith("label_pattern: ")
        return
    assert all(
        label.name in (files[place].shown if "/" in pattern else files[place].path.name)
        for place, label in labels.of.items()
    )
