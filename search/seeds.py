"""Seeds: derived from their purpose, never carried along, so that a resumed run equals an uninterrupted one."""

from __future__ import annotations

import hashlib


def derive(study_seed: int, *purpose: str | int) -> int:
    """A seed in 1 .. 2**31 - 1 for one purpose, such as `derive(seed, "fold", trial, repeat, fold)`.

    Never 0, which Keras Tuner takes for "random". The same on every machine and Python.
    """
    text = "/".join(map(str, (study_seed, *purpose)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (2**31 - 1) + 1
