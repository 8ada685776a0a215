"""Which calls travel together, and what a message looks like.

A message follows Celery's task message protocol, version 2
(https://docs.celeryq.dev/en/stable/internals/protocol.html), so that Celery's own tools show it: its task is the name
of ours, its id the run's (or that of the first of many), its arguments the calls by run id and ticket.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

MARK: Final = "orchestrator"  # the header by which a worker knows our messages
VERSION: Final = 1
MOST_CALLS: Final = 250
MOST_BYTES: Final = 1 << 20  # of arguments, which the worker reads with one claim
MESSAGE_SECONDS: Final = 0.1  # a message is worth about so much work: enough to cost little, short enough to be fair
UNKNOWN_SECONDS: Final = 0.004  # what a call of a task that never ran is taken for: 25 to a message


class Carried(NamedTuple):
    """One call that waits for its message."""

    run_id: str
    ticket: str
    task: str
    size: int = 0  # bytes of its arguments

    @property
    def route(self) -> str:
        """Where it queues, from its ticket: ``@default:ds 42`` is for ``default:ds``."""
        return self.ticket[1 : self.ticket.index(" ")]


class Message(NamedTuple):
    """Calls of one task and one route that a worker takes at once."""

    task: str
    route: str
    calls: tuple[tuple[str, str], ...]  # run id, ticket

    def headers(self) -> dict[str, Any]:
        """What Celery reads."""
        first = self.calls[0][0]
        count = len(self.calls)
        told = first if count == 1 else f"{count} calls, the first is {first}"
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
            "argsrepr": f"({told})",
            "kwargsrepr": "{}",
            "origin": _origin(),
            "ignore_result": True,
            MARK: VERSION,
        }

    def body(self) -> list[Any]:
        """Arguments, keyword arguments, and what Celery embeds."""
        nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        return [[list(call) for call in self.calls], {}, nothing]


@cache
def _origin() -> str:
    return f"{os.getpid()}@{socket.gethostname()}"


os.register_at_fork(after_in_child=_origin.cache_clear)


def calls_of(args: Iterable[Any]) -> list[tuple[str, str]]:
    """The calls of a received message.

    Raises:
        ValueError: these are not the arguments of one of our messages.
    """
    calls: list[tuple[str, str]] = []
    for call in args:
        match call:
            case [str(run_id), str(ticket)]:
                calls.append((run_id, ticket))
            case _:
                raise ValueError(f"not a call: {call!r:.100}")
    return calls


def messages_for(calls: Sequence[Carried], seconds_of: Mapping[str, float]) -> list[Message]:
    """Put calls into as few messages as is fair.

    Args:
        calls: in the order in which they should run.
        seconds_of: how long a call of a task takes on average, for tasks that have run.

    >>> calls = [Carried(str(n), "@default:ds 1", "add") for n in range(300)]
    >>> [len(message.calls) for message in messages_for(calls, {"add": 0.001})]
    [100, 100, 100]
    >>> [len(message.calls) for message in messages_for(calls[:3], {"add": 5.0})]
    [1, 1, 1]
    """
    messages: list[Message] = []
    open_: dict[tuple[str, str], list[Carried]] = {}
    sizes: dict[tuple[str, str], int] = {}

    def close(key: tuple[str, str]) -> None:
        messages.append(Message(key[0], key[1], tuple((call.run_id, call.ticket) for call in open_.pop(key))))
        sizes.pop(key)

    for call in calls:
        key = (call.task, call.route)
        if key in open_ and sizes[key] + call.size > MOST_BYTES:
            close(key)
        open_.setdefault(key, []).append(call)
        sizes[key] = sizes.get(key, 0) + call.size
        if len(open_[key]) >= calls_per_message(seconds_of.get(call.task, UNKNOWN_SECONDS)):
            close(key)
    for key in list(open_):
        close(key)
    return messages


def calls_per_message(seconds: float) -> int:
    """How many calls that take so long travel together.

    >>> calls_per_message(0.0), calls_per_message(0.01), calls_per_message(60.0)
    (250, 10, 1)
    """
    return min(MOST_CALLS, max(1, int(MESSAGE_SECONDS / max(seconds, 1e-6))))
