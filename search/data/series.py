"""Names that may say which pictures show one thing: its views, makers, frames, slices. The user is told and decides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

import numpy as np
from numpy.typing import NDArray

from search.data.groups import GroupIds, groups_by, numbered
from search.data.names import NamedFile, named_files
from search.data.splits import is_part
from search.text import printable, quoted

MIN_THINGS = 3  # that have several pictures: two pairs of like names are chance
MIN_COUNTED = 5  # the same, where only numbers say it
MOST_EACH = 50  # pictures, above which numbered things that are called 'batch' or 'part' are parts of a set
MOST_ENDS = 12  # words that things share, such as 'left' and 'right'
MIN_WORDS = 10  # the same, where names have no number

IF_ONE_THING = (
    "If a group shows one thing, a model that was trained on a picture of it knows the others, and scores are too good"
)

_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d[-_. ]?(?:0[1-9]|1[0-2])(?:[-_. ]?(?:0[1-9]|[12]\d|3[01]))?(?:\d{4,9})?(?!\d)")
_PEOPLE = (
    r"(?:patient|pat|pid|person|subject|subj|sub|participant|donor|volunteer|case|animal|mouse|specimen|individual)"
)
_MAKERS = "one thing by several views or makers"
_CHANGES = (
    r"[hv]?flip(?:ped)?|mirror(?:ed)?|rot(?:ated?|ation)?|blur(?:red)?|nois[ey]|bright(?:er|ness)?|dark(?:er)?|contrast"
    r"|zoom(?:ed)?|shear(?:ed)?|shift(?:ed)?|translated?|jitter|gamma|hue|saturation|sharpen(?:ed)?|gr[ae]y(?:scale)?"
    r"|(?:new)?\d+deg(?:rees?)?(?:flip(?:lr|ud|tb))?"  # as the leaves of PlantVillage have it
)


@dataclass(frozen=True)
class Member:
    """A picture of a thing."""

    row: int
    rest: str  # what stands before and behind the thing in its name; '' for the picture with its name alone


Things = Mapping[tuple[str, ...], Sequence[Member]]
"""Pictures by thing: class, folder, name of the thing."""


def _all(things: Things) -> Things:
    """The things that have several pictures."""
    return {key: members for key, members in things.items() if len(members) > 1}


def _several(things: Things) -> Things:
    """The things that have several pictures, if most pictures are of such; one alone in its folder says nothing."""
    folders = Counter(key[:-1] for key in things)
    beside = {key: members for key, members in things.items() if folders[key[:-1]] > 1}
    several = _all(beside)
    return several if 2 * sum(map(len, several.values())) >= sum(map(len, beside.values())) else {}


def _crossed(things: Things) -> Things:
    """Those whose pictures end with words that other things share: a few words, each at several things."""
    ends = Counter(member.rest.lower() for members in things.values() for member in members)
    shared = {end for end, count in ends.items() if count >= MIN_THINGS}
    if not 2 <= len(shared) <= MOST_ENDS:
        return {}
    return _several({key: [m for m in members if m.rest.lower() in shared] for key, members in things.items()})


def _complete(things: Things) -> Things:
    """The same, if nearly all have all of them: words also describe, as 'sunny_beach' and 'sunny_street'."""
    several = _crossed(things)
    whole = max(map(len, several.values()), default=0)
    return several if sum(len(members) == whole for members in several.values()) >= 0.9 * len(several) else {}


def _counted(things: Things) -> Things:
    """Those that have a number each, and a count within it that begins anew, as '00003_00029' in tracks of signs."""
    several = _several({key: members for key, members in things.items() if not _DATE.search(key[-1])})
    if len(several) < MIN_COUNTED:
        return {}
    if median(map(len, several.values())) > MOST_EACH and all(is_part(key[-1]) for key in several):
        return {}
    counted = 0
    for members in several.values():
        numbers = sorted(int(member.rest[1:]) for member in members if member.rest)
        counted += numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return several if counted >= 0.8 * len(several) else {}


def _from_the_start(things: Things) -> Things:
    """All, where one of their numbers is 0 or 1: 'aug_12_x' and 'aug_13_x' are of two days in August."""
    numbers = {
        int(number) for members in things.values() for m in members for number in re.findall(r"\d{1,18}", m.rest)
    }
    return _several(things) if numbers & {0, 1} else {}


@dataclass(frozen=True)
class Habit:
    """How people and programs name several pictures of one thing. Expressions ignore case and have no groups."""

    title: str  # of such pictures, in a sentence
    after: str = ""  # expression for what follows the name of the thing
    before: str = ""  # for what precedes it
    thing: str = ".+?"  # for that name
    everywhere: bool = False  # the name is the same thing in all folders and classes, whatever stands around it
    needs_original: bool = False  # only where the thing's name alone lies beside: that picture is one of them
    min_things: int = MIN_THINGS
    once: bool = False  # whether `after` cannot follow itself
    told: Callable[[Things], Things] = field(default=_several)  # the things that the names are enough for

    @property
    def joins(self) -> bool:
        """Whether one pattern can do for it and others: a thing may have any name."""
        return self.thing == ".+?" and not self.everywhere

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """For a file's name without its ending, with the groups before, thing and after."""
        many = "" if self.once else "+"
        before = f"(?P<before>(?:{self.before}){many if self.before else ''})"
        after = f"(?P<after>(?:{self.after}){many if self.after else ''})"
        if self.everywhere:
            before, after = r"(?P<before>)(?:.*?[^a-z])?", r"(?!\d)(?P<after>).*"
        return re.compile(f"{before}(?P<thing>{self.thing}){after}", re.IGNORECASE | re.DOTALL)


HABITS = (
    Habit("changed versions", r"[_-]aug(?:mented)?[_-]?\d*", min_things=1, told=_all),
    Habit("changed versions", before=r"aug(?:mented)?[ _-]?\d+[ _-]", told=_from_the_start),
    Habit(
        "changed versions", rf"[_-](?:{_CHANGES})[_-]?(?:\d+|lr|ud|tb)?", needs_original=True, min_things=1, told=_all
    ),
    Habit("copies", r"[_ ]?\(\d+\)", needs_original=True, min_things=2),  # 'cat (1)' alone: a numbered set
    Habit("pictures of one person or animal", thing=rf"{_PEOPLE}[ _-]?\d+", everywhere=True),
    Habit("frames of one video", r"[ _-]?(?:frames?|frm)[ _-]?\d+|[ _-]fr?\d+"),
    Habit("slices of one scan", r"[ _-]?slices?[ _-]?\d+|[ _-](?:slc|sl|z)[ _-]?\d+"),
    Habit("parts of one picture", r"[ _-](?:patch|tile|crop|roi|cell)[ _-]?\d+(?:[ _-]\d+)?|[ _-]x\d+[ _-]y\d+"),
    Habit("a burst of a camera", "_COVER|", r"\d{5}IMG_\d{5}_", r"BURST\d{8,20}", once=True),
    Habit("a burst of a camera", r"[ _-]burst[ _-]?\d+(?:_COVER)?"),
    Habit("a burst of a camera", r"_\d{1,3}|\(\d+\)|~\d+", thing=r".*?(?<!\d)(?:19|20)\d{6}[ _-]?\d{6}", once=True),
    Habit(_MAKERS, r"[ _-][a-z]{1,16}(?:[ _-]?\d{1,2})?|(?<=\d)[lr]", thing=r"\D*\d.*?", told=_crossed),
    Habit(_MAKERS, r"[ _-][a-z]{1,16}\d{0,2}", once=True, min_things=MIN_WORDS, told=_complete),
    Habit("a count within a number", r"[ _-]\d+", thing=r".*?\d", once=True, min_things=MIN_COUNTED, told=_counted),
)
"""The first that takes a picture counts."""


@dataclass(frozen=True)
class Series:
    """Pictures that may show the same things, by their names."""

    titles: tuple[str, ...]  # of the habits by which they are named
    pattern: str  # for --groups: it keeps the pictures of one thing together
    groups: GroupIds  # [images], equal for pictures of one thing by that pattern; images that it does not match: alone
    example: tuple[str, str]  # the paths of two pictures of one thing

    @property
    def several(self) -> NDArray[np.bool_]:
        """[images], True: there are other pictures of the thing."""
        return np.asarray(np.bincount(self.groups)[self.groups] > 1)


def find_series(paths: Sequence[str], labels: Sequence[int], taken: Iterable[int] = ()) -> Series | None:
    """Pictures that may show the same things, by their names; None where no names say so.

    Args:
        paths: [images], relative to the folder of images, '/' between parts.
        labels: [images], the class of each.
        taken: rows of images of which is known what they are made from.
    """
    files, seen = named_files(paths, labels), set(taken)
    found: dict[Habit, Things] = {}
    for habit in HABITS:
        things = habit.told(_things(habit, [file for file in files if file.row not in seen], files))
        if len(things) >= habit.min_things:
            found[habit] = things
            seen.update(member.row for members in things.values() for member in members)
    if not found:
        return None
    most = max(found, key=lambda habit: sum(map(len, found[habit].values())))
    alone, together = {most: found[most]}, {habit: things for habit, things in found.items() if habit.joins}
    chosen = together if most.joins and _keeps(_pattern(together, files), together, paths) else alone
    pattern = _pattern(chosen, files)
    first, second = (member.row for member in next(iter(found[most].values()))[:2])
    titles = tuple(dict.fromkeys(habit.title for habit in chosen))
    return Series(titles, pattern, _ids(pattern, paths), (paths[first], paths[second]))


def _ids(pattern: str, paths: Sequence[str]) -> GroupIds:
    return np.unique(numbered(groups_by(pattern, paths)), return_inverse=True)[1].astype(np.int32)


def _keeps(pattern: str, found: Mapping[Habit, Things], paths: Sequence[str]) -> bool:
    """Whether the pattern keeps the pictures of each thing together."""
    ids = _ids(pattern, paths).tolist()
    return all(len({ids[m.row] for m in members}) == 1 for things in found.values() for members in things.values())


def _things(habit: Habit, free: Iterable[NamedFile], files: Iterable[NamedFile]) -> Things:
    originals: dict[tuple[str, ...], int] = {(str(file.label), file.folder, file.stem): file.row for file in files}
    things: dict[tuple[str, ...], list[Member]] = {}
    for file in free:
        if match := habit.expression.fullmatch(file.stem):
            key = (str(file.label), file.folder, match["thing"])
            things.setdefault(key, []).append(Member(file.row, match["before"] + match["after"]))
    with_original: dict[tuple[str, ...], list[Member]] = {
        key: [Member(originals[key], ""), *members]
        for key, members in things.items()
        if key in originals and originals[key] not in {member.row for member in members}
    }
    if habit.everywhere:
        return things
    return with_original if habit.needs_original else things | with_original


def _pattern(found: Mapping[Habit, Things], files: Sequence[NamedFile]) -> str:
    """The expression for --groups that takes off what stands before and behind the things, as far as it was seen."""
    before, after, whole = set[str](), set[str](), set[str]()
    for habit, things in found.items():
        for members in things.values():
            for member in members:
                match = habit.expression.fullmatch(files[member.row].stem)
                if match is None:  # the picture with the thing's name alone
                    continue
                if habit.everywhere:
                    whole.add(_form(match["thing"]))
                for forms, expression, text in (
                    (before, habit.before, match["before"]),
                    (after, habit.after, match["after"]),
                ):
                    parts = [] if habit.once or not expression else re.findall(expression, text, re.IGNORECASE)
                    forms.update(_form(part) for part in parts or [text] if part)
    if whole:
        return rf"(?<![A-Za-z])({'|'.join(sorted(whole))})(?!\d)[^/]*$"
    many = "?" if any(habit.once for habit in found) else "*"
    thing = ".+?" if len(found) > 1 else next(iter(found)).thing
    ending = (f"(?:{'|'.join(sorted(after))}){many}" if after else "") + r"(?:\.[^./]*)?$"
    if before:
        return rf"^(.*/)?(?:{'|'.join(sorted(before))}){many}({thing}){ending}"
    return rf"^({thing}){ending}"


def _form(text: str) -> str:
    """An expression for a text, with any numbers in it; a letter alone follows a digit, as in '0001L'."""
    return (r"(?<=\d)" if len(text) == 1 else "") + re.sub(r"\d+", r"\\d+", re.escape(text))


def in_words(series: Series, alike: tuple[float, float] | None) -> str:
    """A sentence for the user; `alike`: see `duplicates.most_alike_in_group`."""
    several = series.several
    groups = len(np.unique(series.groups[several]))
    first, second = map(printable, series.example)
    return (
        f"{several.sum():,} images have names like {' or '.join(series.titles)}, such as {first} and {second}: "
        f"{groups:,} groups.{likeness_words(alike)} {IF_ONE_THING}: keep each in one fold with --groups "
        f"{quoted(printable(series.pattern))}"
    )


def likeness_words(alike: tuple[float, float] | None) -> str:
    """How often the picture most like one is of its group, beginning with a space; '' for None."""
    if alike is None:
        return ""
    percent = 100 * alike[1]
    chance = f"{percent:.0f}" if percent >= 1 else f"{percent:.1g}"  # in 'g' 20 is 2e+01
    of_group = f" Of {100 * alike[0]:.0f} % of them the most similar picture of all is of the same group"
    return f"{of_group} (by chance {chance} %)."
