"""Which calls travel together, and what a message looks like.

A message follows Celery's task message protocol, version 2
(https://docs.celeryq.dev/en/stable/internals/protocol.html), so that Celery's own tools show it: its task is the name
of ours, its id the run's (or that of the first of many), its arguments the calls by run id and ticket. Calls of a map
are named by their ranges, with two numbers more: workers of older versions give such a message back.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from brokers.block_ids import MOST_IN_BLOCK, first_of_range
from brokers.messages import Named

MARK: Final = "orchestrator"  # the header by which a worker knows our messages
VERSION: Final = 1
MAX_CALLS: Final = 250
MAX_BYTES: Final = 1 << 20  # of arguments, which the worker reads with one claim
MESSAGE_SECONDS: Final = 0.1  # a message is worth about so much work: enough to cost little, short enough to be fair
UNKNOWN_SECONDS: Final = 0.004  # what a call of a task that never ran is taken for: 25 to a message


class Carried(NamedTuple):
    """A call, or a range of calls, that waits for its message."""

    named: Named
    task: str
    size: int = 0  # bytes of its arguments

    @property
    def route(self) -> str:
        """Where it queues, from its ticket: ``@default:ds 42`` is for ``default:ds``."""
        ticket = self.named.ticket
        return ticket[1 : ticket.index(" ")]


class Message(NamedTuple):
    """Calls of one task and one route that a worker takes at once."""

    task: str
    route: str
    calls: tuple[Named, ...]

    def headers(self) -> dict[str, Any]:
        """What Celery reads."""
        first = first_run_of(self.calls[0])
        count = sum(call.calls or 1 for call in self.calls)
        shown = first if count == 1 else f"{count} calls, the first is {first}"
        return {
            "lang": "py",
            "task": self.task,
            "id": first,
            "root_id": first,
            "parent_id": None,
            "group": None,
            "shadow": None,
            "eta": None,
            "expires": None,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": f"({shown})",
            "kwargsrepr": "{}",
            "origin": _origin(),
            "ignore_result": True,
            MARK: VERSION,
        }

    def body(self) -> list[Any]:
        """Arguments, keyword arguments, and what Celery embeds."""
        nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        return [[row_of(call) for call in self.calls], {}, nothing]


def row_of(named: Named) -> list[Any]:
    """As a message has it: of a single call only what workers of older versions read."""
    return list(named if named.calls else named[:2])


def first_run_of(named: Named) -> str:
    """The run that gives a message its id.

    >>> first_run_of(Named("0199f1c2-0000-8000-8000-00000000r003", "@default:ds 1", first=48, calls=24))
    '0199f1c2-0000-8000-8000-000000000030'
    """
    return first_of_range(named.key, named.first) if named.calls else named.key


@cache
def _origin() -> str:
    return f"{os.getpid()}@{socket.gethostname()}"


os.register_at_fork(after_in_child=_origin.cache_clear)


def calls_of(args: Iterable[Any]) -> list[Named]:
    """The calls of a received message.

    Raises:
        ValueError: these are not the arguments of one of our messages.
    """
    calls: list[Named] = []
    for call in args:
        match call:
            case [str(run_id), str(ticket)]:
                calls.append(Named(run_id, ticket))
            case [str(key), str(ticket), int(first), int(count)] if 0 <= first < first + count <= MOST_IN_BLOCK:
                calls.append(Named(key, ticket, first, count))
            case _:
                raise ValueError(f"not a call: {call!r:.100}")
    return calls


def without_first(calls: Sequence[Named]) -> list[Named]:
    """The calls of a message but the one that gave it its id.

    >>> without_first([Named("b" * 32 + "r000", "@default:ds 1", 0, 25)])[0][2:]
    (1, 24)
    """
    first = calls[0] if calls else None
    rest = [Named(first.key, first.ticket, first.first + 1, first.calls - 1)] if first and first.calls > 1 else []
    return [*rest, *calls[1:]]


def messages_for(calls: Sequence[Carried], seconds_of: Mapping[str, float]) -> list[Message]:
    """Put calls into as few messages as is fair.

    Args:
        calls: in the order in which they should run.
        seconds_of: how long a call of a task takes on average, for tasks that have run.

    >>> calls = [Carried(Named(str(n), "@default:ds 1"), "add") for n in range(300)]
    >>> [len(message.calls) for message in messages_for(calls, {"add": 0.001})]
    [100, 100, 100]
    >>> [len(message.calls) for message in messages_for(calls[:3], {"add": 5.0})]
    [1, 1, 1]
    """
    messages: list[Message] = []
    open_: dict[tuple[str, str], _Together] = {}
    for call in calls:
        key = (call.task, call.route)
        together = open_.get(key)
        if together is None or together.size + call.size > MAX_BYTES:
            if together is not None:
                messages.append(together.message())
            most = calls_per_message(seconds_of.get(call.task, UNKNOWN_SECONDS))
            together = open_[key] = _Together(call.task, call.route, most)
        together.add(call)
        if together.is_full:
            messages.append(open_.pop(key).message())
    return messages + [together.message() for together in open_.values()]


class _Together:
    """What goes into one message."""

    def __init__(self, task: str, route: str, most: int) -> None:
        self._task, self._route, self._most = task, route, most
        self._named: list[Named] = []
        self._count = self.size = 0

    def add(self, call: Carried) -> None:
        self._named.append(call.named)
        self._count += call.named.calls or 1
        self.size += call.size

    @property
    def is_full(self) -> bool:
        return self._count >= self._most

    def message(self) -> Message:
        return Message(self._task, self._route, tuple(self._named))


def calls_per_message(seconds: float) -> int:
    """How many calls that take so long travel together.

    >>> calls_per_message(0.0), calls_per_message(0.01), calls_per_message(60.0)
    (250, 10, 1)
    """
    return min(MAX_CALLS, max(1, int(MESSAGE_SECONDS / max(seconds, 1e-6))))


def calls_per_range(seconds: float) -> int:
    """How many calls of a block travel together, of those that take so long.

    >>> calls_per_range(0.0), calls_per_range(0.01)
    (128, 10)
    """
    return min(MOST_IN_BLOCK, calls_per_message(seconds))
