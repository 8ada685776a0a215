"""Progress of a run: reported from inside the task, read from anywhere.

In a task::

    from orchestrator import progress

    @task
    def make_pages(count: int) -> None:
        for page in range(count):
            print_page(page)
            progress.set(page + 1, total=count, note="printing")      # or progress.increment(total=count)

Elsewhere::

    progress.of(future.run_id)      # Progress(done=3, total=10, note='printing', moment=...), or None

It is cheap to say often: a run's values are written about twice a second, and always the last one before the run ends.
Progress belongs to an attempt: a retry begins without, and late reports of a dead attempt are ignored. (The bar that
``wait(futures, progress=True)`` draws is another thing: it counts how many runs have ended.)
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, overload
from uuid import UUID

from orchestrator.observability.progress_notes import Progress, progress_at
from orchestrator.runs.current import current_attempt
from orchestrator.serializers.texts import fit_text

__all__ = ["Progress", "increment", "of", "set"]

_adding = threading.Lock()  # a task may count from several threads


def set(done: float, total: float | None = None, note: str | None = None) -> None:
    """The run around this line has come so far.

    Known to the task's own thread, its asyncio tasks and ``asyncio.to_thread``; other threads need a copied context.
    Outside of a run nothing happens. A call that runs here and now (``my_task(x)``) counts for itself only.

    Args:
        done: how much is done, in any unit.
        total: how much there is to do; the earlier value stays unless given.
        note: what is being done now, for people; the earlier value stays unless given.

    Raises:
        TypeError, ValueError: ``done`` or ``total`` is not a (finite) number, or the note has no text.
    """
    _report(done, total, note, add=False)


def increment(by: float = 1, total: float | None = None) -> None:
    """So much more is done than before; see :func:`set`. Threads of one run may call it at the same time."""
    _report(by, total, None, add=True)


def _report(done: float, total: float | None, note: str | None, *, add: bool) -> None:
    done, note = _number("done", done), None if note is None else fit_text(note)
    if total is not None:
        total = _number("total", total)
    attempt = current_attempt.get()
    if attempt is None:
        return
    with _adding:
        before = attempt.progress
        if before is not None:
            done = _number("done", before.done + done) if add else done
            total = before.total if total is None else total
            note = before.note if note is None else note
        attempt.progress = now = progress_at(done, total, note, time.time())
        if attempt.services.keep_progress is not None:
            attempt.services.keep_progress(attempt.run_id, attempt.ticket, now)


def _number(name: str, value: Any) -> float:
    """A number that can be stored: an integer of 64 bits, else a float."""
    if not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} is not a number")
    if isinstance(value, Integral) and -(2**63) <= int(value) < 2**63:
        return int(value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name}={number} is not finite")
    return number


@overload
def of(run_id: str | UUID) -> Progress | None: ...  # type: ignore[overload-overlap]


@overload
def of(run_id: Sequence[str | UUID]) -> Mapping[str, Progress]: ...


def of(run_id: str | UUID | Sequence[str | UUID]) -> Progress | Mapping[str, Progress] | None:
    """How far a run's latest attempt has come, ``None`` where it has reported nothing (yet).

    Args:
        run_id: one run; or several, which are read in one trip: then a table of those that have reported something.

    Raises:
        BrokerError: the store does not answer.
    """
    from orchestrator.client.fleet import current_fleet

    logs = current_fleet().logs
    if isinstance(run_id, str | UUID):
        return logs.progress_of([str(run_id)]).get(str(run_id))
    return logs.progress_of([str(one) for one in run_id])
