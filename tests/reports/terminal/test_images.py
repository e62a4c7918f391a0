"""Notes on files, as lines: what is said of many is said once."""

from __future__ import annotations

from reports.as_json import images_as_json
from reports.html.images import render
from reports.terminal.images import SHOWN_PER_KIND, images_in_words
from search.data.findings import Findings, Remark

WHITE = "Has transparency: blended on white."


def noted(*remarks: Remark) -> list[str]:
    found = Findings("shapes", 8, 0, (8, 8, 3), (), 2, None, (), (), remarks)
    return [line.strip() for line in images_in_words(found)[1:]]


def test_files_of_which_the_same_is_said_are_in_one_line() -> None:
    clear = [Remark(f"a/{n}.png", "transparent", WHITE, False) for n in range(12)]
    gone = [Remark("b\n.png", "unreadable", "Damaged: left out.", True)]
    assert noted(*gone, *clear) == [
        "notes: 13; 1 file left out",
        "unreadable: b\\n.png: Damaged: left out.",
        f"transparent: 12, such as a/0.png and a/1.png: {WHITE}",
    ]


def test_two_files_are_both_named_and_how_the_folder_is_read_comes_first() -> None:
    pair = [Remark(f"{n}.png", "transparent", WHITE, False) for n in "ab"]
    assert noted(*pair, Remark(".", "layout", "Its classes are the folders in 'in'.", False))[1:] == [
        "layout: .: Its classes are the folders in 'in'.",
        f"transparent: a.png and b.png: {WHITE}",
    ]


def test_of_many_different_notes_the_first_are_shown_and_the_others_counted() -> None:
    copies = [Remark(f"{n}.png", "copy", f"The same picture as {n}.", False) for n in range(SHOWN_PER_KIND + 3)]
    lines = noted(*copies)
    assert len(lines) == 1 + SHOWN_PER_KIND + 1 and lines[-1] == "copy: … and 3 more"


def test_whether_another_folder_is_meant_is_asked_before_all_else() -> None:
    found = Findings("shapes", 8, 0, (8, 8, 3), (), 2, None, (), (), (), doubt="Why.")
    assert images_in_words(found)[0] == "Is this the right folder? Why."
    page = render(found)
    assert "Is this the right folder? If it is, it is ready for a search with 2 folds." in page and ">Why.<" in page
    assert images_as_json(found)["findings"] == ["Is this the right folder? Why."]
