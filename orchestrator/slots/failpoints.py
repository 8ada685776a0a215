"""Moments at which a worker can be made to fail, for tests. Off unless a child process is started with the variable
``ORCHESTRATOR_TEST_FAILPOINTS``; then each moment costs one look at :data:`armed`.

``before_start=kill:3`` kills the process when it passes that moment for the third time. ``before_start=kill:3@/tmp/x``
does so only if it makes the file itself: its replacement, which reads the same variable, goes on working.
Several are separated by commas.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from typing import Final, NamedTuple

VARIABLE: Final = "ORCHESTRATOR_TEST_FAILPOINTS"
POINTS: Final = (
    "after_claim",  # calls have come from the server, nobody here knows them yet
    "before_start",  # one of them is about to be run
    "after_user_code",  # it has returned, its outcome is in no list yet
    "before_flush",  # outcomes have been taken out of the list, and are about to be sent
    "after_completion",  # the server has confirmed them
    "during_drain",  # no more calls are taken, running ones are waited for
)
ACTIONS: Final = ("kill", "stop", "raise", "exit")
EXIT_CODE: Final = 71


class FailPointReached(Exception):
    """What the action ``raise`` raises."""


class _Order(NamedTuple):
    action: str
    passage: int
    sign: str


armed: bool = False
"""Whether any moment is to fail. Look at this before calling :func:`fail_at`."""

_orders: dict[str, _Order] = {}
_passages: Counter[str] = Counter()
_lock = threading.Lock()


def arm(text: str | None) -> None:
    """Set the moments from the variable's text; nothing disarms them all.

    Raises:
        ValueError: the text names a moment or an action that there is not.
    """
    global armed, _orders
    _orders = dict(_read(part.strip()) for part in (text or "").split(",") if part.strip())
    _passages.clear()
    armed = bool(_orders)


def _read(part: str) -> tuple[str, _Order]:
    point, _, order = part.partition("=")
    order, _, sign = order.partition("@")
    action, _, passage = order.partition(":")
    if point not in POINTS or action not in ACTIONS or not (passage or "1").isdigit():
        raise ValueError(f"{VARIABLE}: {part!r} is not <{'|'.join(POINTS)}>=<{'|'.join(ACTIONS)}>:<passage>[@<file>]")
    return point, _Order(action, int(passage or 1), sign)


def fail_at(point: str) -> None:
    """This moment is being passed."""
    order = _orders.get(point)
    if order is None:
        return
    with _lock:
        _passages[point] += 1
        due = _passages[point] == order.passage
    if due and (not order.sign or _made(order.sign)):
        _fail(point, order.action)


def _made(sign: str) -> bool:
    try:
        descriptor = os.open(sign, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    os.write(descriptor, str(os.getpid()).encode())
    os.close(descriptor)
    return True


def _fail(point: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "exit":
        os._exit(EXIT_CODE)
    else:
        raise FailPointReached(point)
