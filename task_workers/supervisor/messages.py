"""What a supervisor, its template process and its children say to each other.

One JSON object per line, one frozen class per message.

A line that cannot be read (a task has found the descriptor and written into it) raises :class:`UnreadableMessage`; the
reader skips it and logs it.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Final, get_args, get_origin

MAX_SHOWN: Final = 100  # characters of a line that cannot be read, in the log


class UnreadableMessage(ValueError):
    """A line is no message of the kind that was expected."""


# -- from a child to its supervisor ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The child has imported the app and takes calls.

    Args:
        tasks: keys of the tasks that it runs.
        scripts: names of these tasks when their files are run as scripts.
        parameters: of the tasks, as JSON.
        pid: its process id.
    """

    tasks: list[str]
    scripts: list[str]
    parameters: str
    pid: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The child could not import the app, and ends."""

    text: str


@dataclass(frozen=True, slots=True)
class Recycle:
    """The child is about to end by itself and wants a successor."""

    why: str


@dataclass(frozen=True, slots=True)
class Drained:
    """The child has finished; ``clean``: no call was handed back while it ran."""

    clean: bool


# -- from the supervisor to a child ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """The first line that a child reads: what it is to be.

    Args:
        apps: modules or paths whose tasks it runs.
        consumer: the name under which it claims calls.
        number: its place among the children.
        queues: which queues, best first.
        threads: sync calls at once.
        async_concurrency: async calls at once.
        max_tasks: calls after which it ends; ``None``: no limit.
        shutdown_timeout_seconds: how long running calls may go on after SIGTERM.
        log_level, log_format: what is logged, and how.
        table_fd, stacks_fd, events_fd: descriptors of the slot table, of the file for stacks, of the pipe for messages.
        parent_pid: process id of its supervisor.
        worker: the worker's name for people.
        cells_fd: descriptor of the counters; ``None``: calls are not counted.
        paused: it begins without taking calls.
        for_flow_runs: it runs one flow run.
        python_path: where it looks for modules; empty: where Python does by itself.
    """

    apps: list[str]
    consumer: str
    number: int
    queues: list[str]
    threads: int
    async_concurrency: int
    max_tasks: int | None
    shutdown_timeout_seconds: float
    log_level: str
    log_format: str
    table_fd: int
    stacks_fd: int
    events_fd: int
    parent_pid: int
    worker: str = ""
    cells_fd: int | None = None
    paused: bool = False
    for_flow_runs: bool = False
    python_path: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no more calls, finish those that run for so long (``None``: however long they take), and exit."""

    grace_seconds: float | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Take no new calls (``True``), or take calls again (``False``)."""

    paused: bool


# -- between the supervisor and the template process -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TemplateSpec:
    """What a template process is to import, and how it logs."""

    apps: list[str]
    log_level: str
    log_format: str
    worker: str
    parent_pid: int
    for_flow_runs: bool = False
    python_path: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Imported:
    """The template has imported the app; ``unsafe``: why no child may be forked from it."""

    unsafe: str | None


@dataclass(frozen=True, slots=True)
class Forked:
    """A child was forked; ``descriptors``: the numbers that what was sent along has in it, in order.

    ``pid`` is 0 when there is none, and ``error`` says why.
    """

    pid: int
    descriptors: list[int]
    error: str | None = None


ChildMessage = Ready | Failed | Recycle | Drained
Order = Drain | Pause


def encode(message: Any) -> bytes:
    r"""A message as a line.

    >>> encode(Drained(clean=True))
    b'{"kind": "Drained", "clean": true}\n'
    """
    fields = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
    return json.dumps({"kind": type(message).__name__, **fields}).encode() + b"\n"


def decode_spec(line: bytes) -> ChildSpec:
    """The first line for a child. Raises UnreadableMessage."""
    message: ChildSpec = _decode(line, (ChildSpec,))
    return message


def decode_order(line: bytes) -> Order:
    """A line from the supervisor.

    Raises:
        UnreadableMessage: it is no order, or a field has another type. Fields that are unknown are no error.

    >>> decode_order(b'{"kind": "Pause", "paused": true, "since": 3}')
    Pause(paused=True)
    >>> decode_order(b'{"kind": "Pause"}')
    Traceback (most recent call last):
    task_workers.supervisor.messages.UnreadableMessage: no message of a worker: b'{"kind": "Pause"}'
    """
    message: Order = _decode(line, (Drain, Pause))
    return message


def decode_child_message(line: bytes) -> ChildMessage:
    """A line from a child; the rest as for :func:`decode_order`."""
    message: ChildMessage = _decode(line, (Ready, Failed, Recycle, Drained))
    return message


def decode_template_spec(line: bytes) -> TemplateSpec:
    """The first message for a template. Raises UnreadableMessage."""
    message: TemplateSpec = _decode(line, (TemplateSpec,))
    return message


def decode_template_message(line: bytes) -> Imported | Forked:
    """What a template says. Raises UnreadableMessage."""
    message: Imported | Forked = _decode(line, (Imported, Forked))
    return message


def _decode(line: bytes, kinds: tuple[type, ...]) -> Any:
    try:
        parsed = json.loads(line)
        kind = next(kind for kind in kinds if kind.__name__ == parsed["kind"])
        fields: Any = dataclasses.fields(kind)
        given = {field.name: parsed[field.name] for field in fields if field.name in parsed}
        if all(_fits(given[field.name], field.type) for field in fields if field.name in given):
            return kind(**given)
    except (ValueError, LookupError, TypeError, StopIteration, RecursionError):
        pass
    raise UnreadableMessage(f"no message of a worker: {line[:MAX_SHOWN]!r}")


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is list:
        return type(value) is list and all(type(item) in get_args(kind) for item in value)
    allowed = get_args(kind) or (kind,)
    return type(value) in allowed or (type(value) is int and float in allowed)
