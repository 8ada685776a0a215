"""A part of an id that is too short is said to be so, not to be unknown."""

from __future__ import annotations

from typing import Any

import click
import pytest

from task_workers.cli.session import whole_ids


@pytest.mark.parametrize("text", ["01a", "0", "\u202601A"])
def test_a_part_of_an_id_that_is_too_short_is_refused_before_anybody_is_asked(text: str) -> None:
    nobody: Any = None
    with pytest.raises(click.UsageError, match="too short: give 4 or more"):
        whole_ids(nobody, [text])
