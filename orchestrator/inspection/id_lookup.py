"""Runs by a part of their id: its beginning, or its end, which lists show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from brokers.base import Journal
from brokers.records import SUBMITTED
from orchestrator.client.fleet import Fleet

ID_LENGTH: Final = 36  # characters of an id
MIN_PART: Final = 4  # fewer match nearly everything
MAX_ENTRIES: Final = 20_000  # of the journal that are searched
MAX_DEAD: Final = 10_000  # dead letters, which are kept longer than the journal
_ENTRIES_PER_PAGE: Final = 500
_PART: Final = re.compile(r"[0-9a-f-]+")


def find_run_ids(fleet: Fleet, part: str, most: int = 10) -> list[str]:
    """Task runs and flow runs whose id begins or ends with these characters, the newest first.

    Args:
        fleet: the fleet that keeps the runs.
        part: at least four characters; a leading ``\u2026``, as in lists, is ignored.
        most: the number of ids after which the search stops.

    Raises:
        BrokerError: the server does not respond.
    """
    part = normalized_part(part)
    if len(part) < MIN_PART or not _PART.fullmatch(part):
        return []
    found: dict[str, None] = {}
    for run_id in chain(_journal_run_ids(fleet.broker.journal), fleet.broker.dead_letters.newest(MAX_DEAD)):
        if run_id.startswith(part) or run_id.endswith(part):
            found[run_id] = None
            if len(found) >= most:
                break
    return list(found)


def is_too_short(text: str) -> bool:
    """Whether it is a part of an id that nearly every id may have.

    >>> is_too_short("01a"), is_too_short("01a2"), is_too_short("any")
    (True, False, False)
    """
    part = normalized_part(text)
    return len(part) < MIN_PART and _PART.fullmatch(part) is not None


def normalized_part(text: str) -> str:
    """The typed text in lower case, without the ellipsis that lists put around it.

    >>> normalized_part(" \u20260000BEEF ")
    '0000beef'
    """
    return text.strip().strip("\u2026.").lower()


def _journal_run_ids(journal: Journal) -> Iterator[str]:
    first, looked = "+", 0
    while looked < MAX_ENTRIES:
        entries = journal.backwards(first, _ENTRIES_PER_PAGE)
        for _, changes in entries:
            yield from (change.run_id for change in changes if change.of_flow or change.status == SUBMITTED)
        if len(entries) < _ENTRIES_PER_PAGE:
            return
        looked += len(entries)
        first = f"({entries[-1][0]}"
