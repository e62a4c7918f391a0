"""Names that may say which pictures show one thing, names that only look so, and the pattern that is shown."""

from __future__ import annotations

import hashlib
import re
import shlex
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.commands.check import look_over
from search.data.groups import named_groups
from search.data.names import find_versions
from search.data.series import HABITS, Series, find_series, in_words, likeness_words
from tests.pictures import noise, write

COUNT = 12  # things, or pictures, of each of two classes


def series_of(names: Sequence[str], folders: Sequence[str] = ("a", "b")) -> Series | None:
    """All names in each of these folders, one for each class."""
    paths = [f"{folder}/{name}" for folder in folders for name in names]
    labels = [label for label in range(len(folders)) for _ in names]
    return find_series(paths, labels, find_versions(paths, labels).named)


def shown(series: Series) -> str:
    """The pattern as it is to be typed."""
    typed = re.search(r"--groups (.*)$", in_words(series, None))
    assert typed is not None
    (pattern,) = shlex.split(typed[1])
    return pattern


def crossed(*ends: str, start: str = "{:04}") -> Callable[[int], list[str]]:
    return lambda thing: [f"{start.format(thing)}{end}.png" for end in ends]


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


KINDS: dict[str, Callable[[int], list[str]]] = {  # names of the pictures of each thing
    "views": crossed("_left", "_right"),
    "views, a letter": crossed("L", "R"),
    "views, of medicine": crossed("-L-CC", "-R-CC", "-L-MLO", "-R-MLO", start="p{}"),
    "views, several times": crossed("_left_1", "_left_2", "_right_1"),
    "hands, many times": lambda thing: [f"rock{thing:02}-{n:03}.png" for n in range(60)],
    "makers": lambda thing: [f"{0x1F600 + thing:x}_maker{maker}.png" for maker in "AB"],
    "makers, without a number": lambda thing: [
        f"{word}_{maker}.png" for word in [chr(97 + thing) * 5] for maker in ("north", "south", "west")
    ],
    "frames of a video": crossed(*(f"_frame_{n:05}" for n in range(0, 90, 30)), start="clip{}"),
    "frames, short": crossed("-f7", "-f8", start="VID {}"),
    "augmented, before": lambda thing: [f"{thing}.png", *(f"aug_{n}_{thing}.png" for n in range(3))],
    "augmented, behind": crossed("", "_aug_0", "_aug_1", start="s{}"),
    "changed": crossed("", "_rot90", "_flip", "_flip_rot90", start="s{}"),
    "slices of a patient": crossed(*(f"_slice_{n:03}" for n in (40, 41, 43)), start="patient{}"),
    "slices of a scan": crossed("_z1", "_z2", start="{}b"),
    "people": lambda thing: [f"person{thing}_bacteria_{n}.jpeg" for n in (1, 2)] + [f"person{thing}_virus_6.jpeg"],
    "parts of a picture": crossed("_tile_0_0", "_tile_0_1", "_tile_1_0", start="scene{}"),
    "a burst": lambda thing: [
        f"{n:05}IMG_{n:05}_BURST202001{thing + 10}101500123{'_COVER' if n == 1 else ''}.jpg" for n in range(3)
    ],
    "one second": lambda thing: [f"202001{thing + 10}_101500{end}.jpg" for end in ("", "_1", "_2")],
    "tracks of signs": lambda thing: [f"{thing:05}_{n:05}.png" for n in range(8)],
    "a slide": lambda thing: [f"SOB-14-{22000 + thing}-{n:03}.png" for n in range(1, 6 + thing % 4)],
    "copies": lambda thing: [f"x{thing}.jpg", f"x{thing} (1).jpg"],
}

HARMLESS: dict[str, Callable[[int], str]] = {
    "serials of a camera": lambda n: f"IMG_{n:04}.jpg",
    "other serials": lambda n: f"DSC{n:05}.JPG",
    "a drone": lambda n: f"DJI_{n:04}.JPG",
    "class and number": lambda n: f"class_{n:03}.png",
    "numbers": lambda n: f"{n}.png",
    "the whole set counted": lambda n: f"cat.{n}.jpg",
    "a numbered set": lambda n: f"a ({n}).jpg",
    "downloads": lambda n: f"images ({n}).jpg" if n else "images.jpg",
    "dates": lambda n: f"2023-01-{n + 1:02}.jpg",
    "dates of months": lambda n: f"2023-{n % 6 + 1:02}-{n // 6 + 1:02}.jpg",
    "times": lambda n: f"IMG_20230101_12{n:02}{(7 * n) % 60:02}.jpg",
    "a day's count": lambda n: f"202301{n % 6 + 10}_{n // 6 + 1:03}.jpg",
    "a messenger": lambda n: f"IMG-202301{n % 6 + 10}-WA{n // 6 + 1:04}.jpg",
    "pictures of a screen": lambda n: f"Screenshot 2023-01-{n % 6 + 10} at 10.{n:02}.{(7 * n) % 60:02}.png",
    "UUIDs": lambda n: f"{uuid.UUID(sha(n)[:32], version=4)}.jpg",
    "hashes": lambda n: f"{sha(n)}.jpg",
    "short hashes": lambda n: f"{sha(n)[:6]}.png",
    "code points": lambda n: f"{0x1F5F8 + n:x}.png",
    "class and hash": lambda n: f"dog_{sha(n)[:8]}.jpg",
    "a synset": lambda n: f"n02085620_{10074 + 31 * n}.JPEG",
    "one video": lambda n: f"frame_{n:06}.png",
    "one named video": lambda n: f"cats_frame_{n:06}.png",
    "one patient a picture": lambda n: f"patient_{n:03}.png",
    "an archive": lambda n: f"ISIC_{24306 + n:07}.jpg",
    "breeds": lambda n: f"{('beagle', 'boxer', 'pug')[n % 3]}_{n // 3 + 1}.jpg",
    "days of August": lambda n: f"aug_{n // 4 + 12}_{sha(n)[:5]}.jpg",
    "two words": lambda n: (
        f"{('red', 'blue', 'green', 'grey')[n % 4]}_{('cup', 'car', 'pen', 'hat', 'tie', 'cap')[n // 4]}.jpg"
        if n < 22
        else f"odd_{n}.jpg"
    ),
    "sizes": lambda n: f"{n:04}_512x512.jpg",
    "a social network": lambda n: f"{10**7 + 37 * n}_{10**14 + 91 * n}_{10**9 + 7 * n}_n.jpg",
    "edited": lambda n: f"IMG_{n:04}-edited.jpg",
    "a plot of land": lambda n: f"{50 + n / 100:.2f}_-{n / 7:.3f}.jpg",
}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_one_thing_are_found_with_the_pattern_that_keeps_them_together(kind: str, tmp_path: Path) -> None:
    things = [KINDS[kind](thing) for thing in range(COUNT)]
    series = series_of([name for names in things for name in names])
    assert series is not None
    expected = [thing for thing, names in enumerate(things) for _ in names]
    paths = [f"a/{name}" for names in things for name in names]
    groups = named_groups(shown(series), tmp_path, paths).of
    assert [groups.index(group) for group in groups] == [expected.index(thing) for thing in expected]
    own = series.groups[: len(paths)].tolist()
    assert [own.index(group) for group in own] == [expected.index(thing) for thing in expected]
    assert series.several.all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("people", "slices of a patient")])
def test_things_of_two_classes_are_two_but_for_people(kind: str) -> None:
    names = [name for thing in range(COUNT) for name in KINDS[kind](thing)]
    series = series_of(names)
    assert series is not None
    assert not set(series.groups[: len(names)].tolist()) & set(series.groups[len(names) :].tolist())


def test_people_are_the_same_in_training_and_testing() -> None:
    names = [name for thing in range(COUNT) for name in KINDS["people"](thing)]
    series = series_of(names, ["train/a", "test/a"])
    assert series is not None
    assert series.groups[: len(names)].tolist() == series.groups[len(names) :].tolist()


@pytest.mark.parametrize("kind", HARMLESS)
@pytest.mark.parametrize("count", [6, 24, 60])
def test_harmless_names_are_not_accused(kind: str, count: int) -> None:
    names = list(dict.fromkeys(HARMLESS[kind](number) for number in range(count)))
    assert len(names) == count
    assert series_of(names) is None


def test_numbered_parts_of_a_set_are_not_accused() -> None:
    assert series_of([f"batch_{part}_{n:04}.png" for part in range(8) for n in range(70)]) is None


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("1.png", "1_aug_1.png", "1_aug_2.png", "2.png", "2_aug_1.png"), "aaabb"),
        (("e-aug1.jpg", "e-aug2.jpg", "f-aug1.jpg", "f-aug2.jpg"), "aabb"),
        (("1.png", "1_rot90.png", "1_flip.png", "2.png", "2_rot90_flip.png", "3.png"), "aaabbc"),
        (("k.png", "k_hflip.png", "k_blurred.png", "k_aug_7.png"), "aaaa"),
        (("k.png", "k_90deg.png", "k_flipTB.png", "k_new30degFlipLR.png"), "aaaa"),
        (("x.jpg", "x (1).jpg", "y.jpg", "y (1).jpg"), "aabb"),
    ],
)
def test_few_are_enough_where_words_say_it(names: tuple[str, ...], groups: str, tmp_path: Path) -> None:
    series = series_of(names, ["a"])
    assert series is not None
    of = named_groups(shown(series), tmp_path, [f"a/{name}" for name in names]).of
    assert [of.index(group) for group in of] == [groups.index(group) for group in groups]


@pytest.mark.parametrize(
    "names",
    [
        ("0001_left.png", "0001_right.png", "0002_left.png"),  # one pair is chance
        ("p_1_1.png", "p_1_2.png", "p_2_1.png"),
        ("benign (1).png", "benign (2).png", "benign (3).png"),
        ("wheat_crop_1.png", "wheat_crop_2.png"),
        ("burger_flip_1.png", "burger_flip_2.png"),
        ("dark_1.png", "dark_2.png", "bright_1.png"),
        ("original_1.png", "original_2.png"),
        ("august_1.png", "august_2.png"),
        ("S1_front.png", "S1_back.png"),
        ("PXL_20240101_101112131.jpg", "PXL_20240101_101112999.jpg"),
    ],
)
def test_few_are_not_enough_where_words_may_mean_anything(names: tuple[str, ...]) -> None:
    assert series_of(names, ["a"]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_other_pictures_stay_alone_and_the_order_does_not_matter(kind: str) -> None:
    generator = np.random.default_rng(0)
    names = [name for thing in range(COUNT) for name in KINDS[kind](thing)]
    others = [f"IMG_{number:04}.jpg" for number in range(COUNT)]
    mixed = [[*names, *others][place] for place in generator.permutation(len(names) + len(others))]
    series = series_of(mixed, ["a"])
    assert series is not None
    by_name = dict(zip(mixed, series.groups.tolist(), strict=True))
    sizes = np.bincount(series.groups)
    assert all(sizes[by_name[name]] == 1 for name in others)
    assert all(len({by_name[name] for name in KINDS[kind](thing)}) == 1 for thing in range(COUNT))
    assert len({by_name[name] for name in names}) == COUNT


@pytest.mark.parametrize("seed", range(40))
def test_random_names_are_not_accused(seed: int) -> None:
    """Tokens of letters, digits or hashes, joined by usual signs, drawn anew for each name."""
    generator = np.random.default_rng(seed)
    letters = "abcdefghijklmnopqrstuvwxyz" if seed % 3 == 0 else "0123456789" if seed % 3 == 1 else "0123456789abcdef"
    sign, parts = ("_", "-", " ", ".")[seed % 4], seed % 3 + 1
    names = {sign.join("".join(generator.choice(list(letters), 6)) for _ in range(parts)) + ".png" for _ in range(200)}
    assert series_of(sorted(names)) is None


@pytest.mark.parametrize(
    "name", ["a" * 250, "_" * 250, "1_" * 125, "x\ny_left", "patient" * 30, "ü_ß" * 60, "(1)" * 80]
)
def test_odd_names_do_no_harm(name: str) -> None:
    series_of([f"{name}{number}_left.png" for number in range(5)] + [f"{name}{number}" for number in range(5)])


PIECES = st.sampled_from(
    [
        "a",
        "x7",
        "12",
        "0",
        "1",
        "_",
        "-",
        " ",
        ".",
        "left",
        "right",
        "L",
        "R",
        "aug_1_",
        "_rot90",
        "frame",
        "patient3",
        "(1)",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.sets(st.lists(PIECES, min_size=1, max_size=5).map("".join), min_size=2, max_size=40))
def test_what_is_shown_groups_as_was_counted(names: set[str]) -> None:
    """For names put together of pieces that mean something, in any way."""
    series = series_of(sorted(names))
    if series is None:
        return
    paths = [f"{folder}/{name}" for folder in "ab" for name in sorted(names)]
    typed = named_groups(shown(series), Path("nowhere"), paths).of
    groups = [row if group is None else typed.index(group) for row, group in enumerate(typed)]
    own = series.groups.tolist()
    assert [own.index(group) for group in own] == groups
    assert own[paths.index(series.example[0])] == own[paths.index(series.example[1])]


def test_every_habit_is_met() -> None:
    met = set()
    for names_of in KINDS.values():
        series = series_of([name for thing in range(COUNT) for name in names_of(thing)])
        assert series is not None
        met |= set(series.titles)
    assert met == {habit.title for habit in HABITS}
    assert len(met) >= 8


def drawings(root: Path, *, alike: bool) -> None:
    """30 things by two makers in two classes; `alike`: what two makers draw is alike, else all are noise."""
    for name in ("open", "shut"):
        for thing in range(30):
            generator = np.random.default_rng([thing, ord(name[0])])
            shape = noise(generator, 8)
            for maker in "AB":
                other = noise(generator, 8)
                write(root / name / f"{thing:04}_maker{maker}.png", shape + other // 4 if alike else other)


@pytest.mark.parametrize("alike", [True, False])
def test_it_is_said_whether_such_pictures_are_more_alike_than_others(alike: bool, tmp_path: Path) -> None:
    drawings(tmp_path, alike=alike)
    (sentence,) = (said for said in look_over(tmp_path, None, None)[1].sentences if "names like" in said)
    assert sentence.startswith("120 images have names like one thing by several views or makers, such as open/0000_")
    assert ": 60 groups." in sentence
    assert sentence.endswith(r"with --groups '^(\D*\d.*?)(?:_makerA|_makerB)*(?:\.[^./]*)?$'")
    assert ("the most similar picture of all is of the same group" in sentence) == alike


@pytest.mark.parametrize(("share", "said"), [(0.2, "20"), (0.013, "1"), (0.0042, "0.4"), (0.0, "0")])
def test_a_share_by_chance_is_a_number_that_people_read(share: float, said: str) -> None:
    assert likeness_words((0.5, share)).endswith(f"(by chance {said} %).")
    assert likeness_words(None) == ""


def test_nothing_is_said_where_groups_are_named(tmp_path: Path) -> None:
    drawings(tmp_path, alike=True)
    _, found = look_over(tmp_path, r"^(.+?)(?:_makerA|_makerB)?(?:\.[^./]*)?$", None)
    assert not any("names like" in said for said in found.sentences)
    assert [(row.searched, row.independent) for row in found.classes] == [(60, 30), (60, 30)]
