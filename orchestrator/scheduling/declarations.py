"""Schedules of tasks that modules declare: ``my_task.schedule("nightly", cron="0 3 * * *")``.

Declaring only notes what is wanted; a worker of the app, or ``orchestrator schedule apply``, writes it to the store.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from packaging.version import InvalidVersion, Version

from orchestrator.errors import ConfigurationError, ParameterBindError
from orchestrator.runnables.identity import module_of_names
from orchestrator.schedules import Schedule
from orchestrator.schedules.conversion import as_schedule
from orchestrator.schedules.interval import interval_from
from orchestrator.submission.call_options import CallOptions

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike

MAX_NAME: Final = 200
_KINDS: Final = ("interval", "cron", "rrule")
_declared: Final[dict[str, Declaration]] = {}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a module wants of a task: a call at each tick of a schedule.

    Attributes:
        name: of the schedule; unique among all apps of a namespace.
        task: what is called.
        schedule: when; its parameters are the arguments of each call.
        options: of each call.
        version: of the code that declares it, if it says so.
        module: that declares it.
        place: file and line, for people.
    """

    name: str
    task: TaskLike
    schedule: Schedule
    options: CallOptions
    version: str | None
    module: str
    place: str

    def means_the_same_as(self, other: Declaration) -> bool:
        """Whether it is the same wish, as of a module that is loaded twice."""
        return self.task.task_key == other.task.task_key and all(
            getattr(self, name) == getattr(other, name) for name in ("schedule", "options", "version", "module")
        )


def declare(
    task: TaskLike, name: str, schedule: Schedule, options: CallOptions, version: str | None, frame: FrameType
) -> Declaration:
    """Note a schedule of a task.

    Args:
        task: what is called at each tick.
        name: of the schedule: a text of 1 to 200 characters.
        schedule: when; its parameters are the arguments.
        options: of each call.
        version: of the code, such as ``"2.1"``; default: the task's.
        frame: of the code that declares it.

    Raises:
        ValueError: the name or the version is none.
        ParameterBindError: the task cannot be called with these parameters.
        ConfigurationError: the name is taken by another schedule.
    """
    _check_name(name)
    version_of(version)
    try:
        task.arguments((), dict(schedule.parameters), sent=True)
    except ParameterBindError as error:
        raise type(error)(f"schedule {name!r}: {error}") from None
    place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    version = version or _if_comparable(task.options.version)
    made = Declaration(name, task, schedule, options, version, module_of_names(frame.f_globals), place)
    before = _declared.setdefault(name, made)
    if not before.means_the_same_as(made):
        raise ConfigurationError(
            f"schedule {name!r} of {task.task_key} ({place}) is declared already, for {before.task.task_key} "
            f"({before.place}): give one of them another name"
        )
    return before


def declarations() -> list[Declaration]:
    """All that the modules of this process have declared, by name."""
    return [_declared[name] for name in sorted(_declared)]


def forget_declarations() -> None:
    """Know none, as at the start of a process; for tests."""
    _declared.clear()


def schedule_of_keywords(
    schedule: Any, timing: Mapping[str, Any], parameters: Mapping[str, Any] | None, more: Mapping[str, Any]
) -> Schedule:
    """One schedule from the keywords of a declaration.

    Args:
        schedule: a schedule in any form that :func:`as_schedule` takes, or ``None``.
        timing: ``interval``, ``cron``, ``rrule``, ``timezone`` and ``anchor_date``, each or ``None``.
        parameters: of the calls; they come before those of ``schedule``.
        more: other fields of :class:`Schedule`.

    Raises:
        ValueError: not exactly one of schedule, interval, cron and rrule, or one that is not valid.
        TypeError: a keyword that is no field of a schedule, or a value of another type.
    """
    given = {name: value for name, value in timing.items() if value is not None}
    known = [found.name for found in fields(Schedule) if found.init and found.name != "slug"]
    for name in more:
        if name not in known:
            raise TypeError(f"a schedule of a task has no option {name!r}; it has: {', '.join(sorted(known))}")
    if schedule is None:
        if "interval" in given:
            given["interval"] = interval_from(given["interval"])
        made = Schedule(**given, **more)
    elif given:
        raise ValueError(f"give schedule= or {' and '.join(f'{name}=' for name in given)}, not both")
    else:
        made = replace(as_schedule(schedule), **more)
    return replace(made, parameters={**made.parameters, **(parameters or {})}, slug=None)


def version_of(text: str | None) -> Version | None:
    """A version that can be compared with others. Raises ValueError: the text is none, such as the hash of a commit.

    >>> version_of("2.10") > version_of("2.9")
    True
    """
    try:
        return None if text is None else Version(text)
    except (InvalidVersion, TypeError):
        raise ValueError(f"version={text!r} cannot be compared with others: write numbers such as '2.1'") from None


def _if_comparable(text: str | None) -> str | None:
    try:
        version_of(text)
    except ValueError:
        return None
    return text


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
        raise ValueError(f"a schedule's name is a text of 1 to {MAX_NAME} characters, not {name!r}")


def calling_frame(depth: int) -> FrameType:
    """The frame so many calls above the caller of this function."""
    return sys._getframe(depth + 1)


__all__ = ["Declaration", "calling_frame", "declarations", "declare", "forget_declarations", "schedule_of_keywords"]
