"""What a terminal shows after what was written to it."""

from __future__ import annotations

import re


class Screen:
    """The parts of a terminal that show what is on it: cursor up, start of line, erase line."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.row = 0

    def feed(self, text: str) -> None:
        for control, letter, plain in re.findall(r"\x1b\[([0-9;?]*)([A-Za-z])|([^\x1b])", text):
            if plain == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif letter == "A":
                self.row -= int(control or 1)
                assert self.row >= 0, "the cursor went above the first line"
            elif letter == "K":
                self.lines[self.row] = ""
            elif plain and plain != "\r":
                self.lines[self.row] += plain

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)
