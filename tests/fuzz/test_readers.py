"""A few inputs for each reader; `python -m tests.faults fuzz` gives them as many as there is time for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings

from tests.fuzz.readers import READERS


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_it_reads_or_refuses_in_words(reader: Callable[[], None]) -> None:
    settings(max_examples=25, deadline=None)(reader)()
