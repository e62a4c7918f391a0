"""Files: written whole or not at all, opened without following links."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all: a full disk or a kill leaves the old one."""
    path = path.resolve()
    partial = path.with_name(f".{path.name}.new")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def no_links(path: str, flags: int) -> int:
    """An opener that refuses a symbolic link: in a study folder from elsewhere it may lead to any file."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)
