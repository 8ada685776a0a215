"""Which task a name on the wire means in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orchestrator import serializers
from orchestrator.errors import UnknownTask

if TYPE_CHECKING:
    from orchestrator.tasks import Task

_tasks: Final[dict[str, Task[..., Any]]] = {}
_unlearned: Final[list[Task[..., Any]]] = []
_found: Final[dict[str, Task[..., Any]]] = {}  # what suffixes were resolved to


def add(task: Task[..., Any]) -> None:
    """Make a task known by its key; a later one of the same key takes its place (a reloaded module)."""
    _tasks[task.task_key] = task
    _found.clear()
    _unlearned.append(task)


def learn_types() -> None:
    """Learn the classes in the annotations of new tasks, so that dataclasses and models come back as themselves.

    Called before something is packed or read, not when a task is decorated: annotations may name what comes later.
    """
    while _unlearned:
        serializers.known_types.learn_from_callable(_unlearned.pop().fn)


def find(key: str) -> Task[..., Any]:
    """The task of a key; a script's ``quickstart.square`` is also found as ``examples.quickstart.square``.

    Raises:
        UnknownTask: no task of that key, or several that it could mean.
    """
    task = _tasks.get(key) or _found.get(key)
    if task is None:
        task = _found[key] = _by_suffix(key)
    return task


def _by_suffix(key: str) -> Task[..., Any]:
    matches = [task for known, task in _tasks.items() if same_task(known, key)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        told = ", ".join(task.task_key for task in matches)
        raise UnknownTask(f"the task {key!r} could be any of {told}: use the full name")
    told = ", ".join(sorted(_tasks)[:10]) or "none"
    raise UnknownTask(f"no task {key!r} is known here; known are: {told}. Is its module imported by this worker (-A)?")


def same_task(one: str, other: str) -> bool:
    """Whether two keys mean the same task: equal, or one is the other below some packages."""
    return one == other or one.endswith("." + other) or other.endswith("." + one)


def known() -> list[Task[..., Any]]:
    """All tasks, by key."""
    return [_tasks[key] for key in sorted(_tasks)]


def keys() -> list[str]:
    """The keys of all tasks."""
    return sorted(_tasks)
