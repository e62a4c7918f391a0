"""A study of shapes, which tests of the study folder and of preparing share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from search.errors import UsageError
from search.study.config import Config, parse

FOLDER = "study"


def settings(**changes: Any) -> Config:
    return parse({"images": "../shapes", "preset": "cnn", "seed": 3, **changes}, "here")


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    return str(caught.value)
