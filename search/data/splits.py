"""Folders whose names say that they are training or testing images of a set, not a class of it. Names alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What the images of a folder are for, in the order of reading."""

    TRAINING = "training"
    VALIDATION = "validation"
    TESTING = "testing"


_WORDS = {
    "train": Role.TRAINING,
    "xtrain": Role.TRAINING,
    "training": Role.TRAINING,
    "trainval": Role.TRAINING,
    "trn": Role.TRAINING,
    "val": Role.VALIDATION,
    "xval": Role.VALIDATION,
    "valid": Role.VALIDATION,
    "validation": Role.VALIDATION,
    "vld": Role.VALIDATION,
    "dev": Role.VALIDATION,
    "test": Role.TESTING,
    "xtest": Role.TESTING,
    "testing": Role.TESTING,
    "tst": Role.TESTING,
    "eval": Role.TESTING,
    "evaluation": Role.TESTING,
    "holdout": Role.TESTING,
}
_NEUTRAL = frozenset(
    re.findall(
        r"\w+",
        "set sets data dataset datasets image images img imgs picture pictures pics photo photos sample samples folder "
        "dir split splits part all",
    )
)
_PARTS = frozenset(
    re.findall(
        r"\w+",
        "fold batch chunk phase subset version copy unzipped extracted archive original originals augmented aug raw "
        "processed preprocessed cropped resized seen unseen source target",
    )
)
_LETTERS = re.compile(r"[^\W\d_]+")
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_JOINED = re.compile(rf"({'|'.join(sorted(_WORDS, key=len, reverse=True))})({'|'.join(_NEUTRAL)})")
_HOLD_OUT = re.compile(r"hold[\W_]*out", re.IGNORECASE)


@dataclass(frozen=True)
class SplitName:
    """A folder's name that has a word for a split."""

    role: Role
    rest: str  # what is left of the name without that word and words such as 'images'; '' for a plain split


def split_name(name: str) -> SplitName | None:
    """What a folder's name says of a split; None where it says nothing, or two things.

    Its first or last word counts, or any where the others are such as 'set' and 'images'. Case, digits and signs
    between words do not matter: 'seg_train', 'TrainingSet', 'test-2017' and 'images_val' are names of splits.
    """
    words = _words(name)
    roles = [_WORDS.get(word) for word in words]
    rest = [word for word, role in zip(words, roles, strict=True) if role is None and word not in _NEUTRAL]
    named = {role for role in (roles if not rest else [*roles[:1], *roles[-1:]]) if role}
    if named == {Role.TRAINING, Role.VALIDATION}:  # 'trainval'
        named = {Role.TRAINING}
    return SplitName(named.pop(), " ".join(rest)) if len(named) == 1 else None


def role_of(name: str) -> Role | None:
    """What the images of a folder of this name are for, if the name says so."""
    split = split_name(name)
    return split.role if split else None


def is_neutral(name: str) -> bool:
    """Whether a name, such as 'images', says only that there are pictures."""
    words = _words(name)
    return bool(words) and all(word in _NEUTRAL for word in words)


def is_part(name: str) -> bool:
    """Whether a name, such as 'fold_1' or 'part_A', is of a part of a set that no word calls training or testing."""
    words = _words(name)
    known = [word in _NEUTRAL or word in _PARTS for word in words]
    return any(known) and all(known[place] or (place > 0 and len(word) == 1) for place, word in enumerate(words))


def splits_among(names: Sequence[str]) -> dict[str, SplitName]:
    """Which names of folders that lie together are those of splits.

    Plain ones are. A name with another word, such as 'seg_train', is one only beside another part with that word:
    'test_tube' is none. 'valid' is none beside 'invalid'.
    """
    found = {name: split for name in names if (split := split_name(name))}
    roles: dict[str, set[Role]] = {}
    for split in found.values():
        roles.setdefault(split.rest, set()).add(split.role)
    lower = {name.casefold() for name in names}
    return {
        name: split
        for name, split in found.items()
        if (not split.rest or {Role.TRAINING} < roles[split.rest])
        and not (name.casefold() == "valid" and "invalid" in lower)
    }


def by_role(splits: dict[str, SplitName]) -> dict[Role, list[str]]:
    """The names of each role, in the order of roles. Beside 'test', 'eval' and 'holdout' are for validation."""
    testing = [name for name, split in splits.items() if split.role is Role.TESTING]
    plain = [name for name in testing if any(word in {"test", "testing"} for word in _words(name))]
    roles: dict[Role, list[str]] = {}
    for name, split in splits.items():
        demoted = split.role is Role.TESTING and plain and name not in plain
        roles.setdefault(Role.VALIDATION if demoted else split.role, []).append(name)
    return {role: roles[role] for role in Role if role in roles}


def without_split(name: str) -> str:
    """A name such as 'cats_train' without the word for the split: 'cats'."""
    parts = re.split(r"([\W_]+)", unicodedata.normalize("NFC", name))
    kept = parts[:-2] if _is_split(parts[-1]) else parts[2:] if _is_split(parts[0]) else parts
    return "".join(kept)


def _is_split(part: str) -> bool:
    split = split_name(part)
    return split is not None and not split.rest


def _words(name: str) -> Sequence[str]:
    name = _HOLD_OUT.sub("holdout", unicodedata.normalize("NFC", name))
    words = [hump.casefold() for letters in _LETTERS.findall(name) for hump in _HUMPS.split(letters)]
    return [part for word in words for part in _parted(word)]


def _parted(word: str) -> Sequence[str]:
    """'trainset' as 'train' and 'set'; another word as it is."""
    match = _JOINED.fullmatch(word)
    return match.groups() if match else (word,)
