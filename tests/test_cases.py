"""What people bring is read, or answered with a sentence that helps: see tests/cases."""

from __future__ import annotations

import pytest

from tests.cases.__main__ import CASES, tried
from tests.cases.place import Case

pytestmark = pytest.mark.slow  # `python -m tests.cases` prints them as a table


@pytest.mark.parametrize("case", CASES, ids=[case.number for case in CASES])
def test_what_people_bring_is_answered_rightly(case: Case) -> None:
    is_right, happened = tried(case)
    assert is_right, f"{case.brings}: right is: {case.right}; but {happened}"
