"""``docs/celery.md`` lists what engine 2 does otherwise."""

from __future__ import annotations

from pathlib import Path

from tests.support.differences import DIFFERENCES

PAGE = Path(__file__).parents[2] / "docs" / "celery.md"


def test_every_difference_is_listed_with_its_reason() -> None:
    text = " ".join(PAGE.read_text().split())
    assert DIFFERENCES
    for (row, test), reason in DIFFERENCES.items():
        assert reason in text, f"{row}: {test}"
