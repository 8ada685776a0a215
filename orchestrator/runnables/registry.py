"""Which task a key on the wire means in this process."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from orchestrator import serializers
from orchestrator.errors import AmbiguousTask, UnknownTask
from orchestrator.runnables.identity import at_its_place, digest_of_defaults, name_as_script

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike

EXPANSION_KEY: Final = "orchestrator.map"
MAX_CLOSURES: Final = 2000
_makers: Final[dict[str, Callable[[], TaskLike]]] = {}  # of tasks of ours, which lists leave out
_built_in: Final[dict[str, TaskLike]] = {}
_tasks: Final[dict[str, TaskLike]] = {}
_closures: Final[deque[str]] = deque()  # keys of closures and lambdas, in the order in which they were made
_dropped: Final[weakref.WeakValueDictionary[str, TaskLike]] = weakref.WeakValueDictionary()
_scripts: Final[dict[str, TaskLike]] = {}  # by names as scripts; made when it is asked for
_looped: Final[dict[str, Any]] = {}  # keys without defaults -> the code of which a loop has made several functions
_unlearned: Final[list[Callable[..., Any]]] = []
contested: Final[dict[str, list[weakref.ref[TaskLike]]]] = {}
"""Keys that tasks have had which do not do the same, and these tasks without the last. Keys stay: frames are cached."""


generation: int = 0
"""Another number whenever a key may have begun to mean another task, for whoever keeps what :func:`find` returned."""


def add(task: TaskLike) -> None:
    """Make a task known by its key. A second one that does the same takes its place; one that does not contests it."""
    global generation
    key = task.task_key
    if key in _makers:
        _built_in.setdefault(key, task)
        return
    _distinguish_in_a_loop(task)
    key = task.task_key
    before = _tasks.get(key)
    if before is not None and not before.identity.same_as(task.identity):
        alive = [reference for reference in contested.get(key, ()) if reference() is not None]
        contested[key] = [*alive, weakref.ref(before)]
    if before is None and "#" in key:
        _make_room(key)
    _tasks[key] = task
    _scripts.clear()
    _unlearned.append(task.fn)
    generation += 1  # last: who looked it up before that looks again
    serializers.known_types.expect_script_at_workers(getattr(task.fn, "__module__", None))


def _distinguish_in_a_loop(task: TaskLike) -> None:
    """Functions that a loop makes of one piece of code are distinguished by their defaults, the first one too.

    A function that is defined again, in a notebook or when its module is loaded again, has code of its own.
    """
    key, code = task.task_key, getattr(task.fn, "__code__", None)
    if "#" in key or code is None:
        return
    if key in _looped and _looped[key] is not code:
        del _looped[key]
    first = _tasks.get(key)
    if first is not None and getattr(first.fn, "__code__", None) is code:
        if digest_of_defaults(first.fn) == digest_of_defaults(task.fn):
            return
        _looped[key] = code
        first.task_key = f"{key}#{digest_of_defaults(first.fn)}"
        first.frames.clear()
        _tasks[first.task_key] = _tasks.pop(key)
    if key in _looped:
        task.task_key = f"{key}#{digest_of_defaults(task.fn)}"


def _make_room(key: str) -> None:
    """Closures have a key for each set of values: the oldest are known only as long as somebody else holds them."""
    _closures.append(key)
    if len(_closures) > MAX_CLOSURES:
        oldest = _closures.popleft()
        _dropped[oldest] = _tasks.pop(oldest)


def learn_types() -> None:
    """Learn the classes in the annotations of new tasks, so that dataclasses and models come back as themselves.

    Called before something is packed or read, not when a task is decorated: annotations may name what comes later.
    """
    while _unlearned:
        serializers.known_types.learn_from_callable(_unlearned.pop())


def find(key: str, script: str | None = None) -> TaskLike:
    """The task of a key.

    Args:
        key: as the sender has it.
        script: the mark of the sender's script, in which the task is defined; see ``identity.script_of``.

    Raises:
        UnknownTask: no task has that key.
        AmbiguousTask: several tasks have it, and nothing says which is meant.
    """
    if key in contested:
        return _holder_of(key)
    if key in _makers:
        return built_in(key)
    task = _tasks.get(key) or _dropped.get(key)
    if task is None and script is not None:
        task = _as_scripts().get(f"{key}@{script}")
    if task is None:
        raise UnknownTask(_unknown(key))
    return task


def _as_scripts() -> dict[str, TaskLike]:
    """Tasks by the names that they have when their files are run as scripts, where those are others."""
    if not _scripts:
        named = {name_as_script(key, task.fn): task for key, task in list(_tasks.items())}
        _scripts.update({name: task for name, task in named.items() if name is not None})
    return _scripts


def scripts() -> list[str]:
    """Such names, for whoever asks what is known here."""
    return sorted(_as_scripts())


def add_built_in(key: str, make: Callable[[], TaskLike]) -> None:
    """A task of ours, which every worker knows; it is made when it is needed."""
    _makers[key] = make


def is_built_in(key: str) -> bool:
    """Whether it is a task of ours, which every worker knows without listing it."""
    return key in _makers


def built_in(key: str) -> TaskLike:
    """A task of ours."""
    task = _built_in.get(key)
    return task if task is not None else _makers[key]()


def check(task: TaskLike) -> None:
    """Whether a worker that looks the task's key up gets this task, or one that does the same.

    Raises:
        AmbiguousTask: it would get another one, or one of several.
    """
    key = task.task_key
    if key in _looped:  # a copy that was made of the first one before there was a second
        raise AmbiguousTask(f"{task!r} is not sent: a loop has defined other tasks as {key!r} since. {_MEND}")
    holder = _holder_of(key) if key in contested else _tasks.get(key) or _dropped.get(key)
    if holder is None:  # a closure that was dropped to make room, and of which only copies are left
        return add(task)
    if not holder.identity.same_as(task.identity):
        raise AmbiguousTask(
            f"{task!r} is not sent: another task is defined as {task.task_key!r} by now, and a worker would run that "
            f"one. {_MEND}"
        )


_MEND: Final = (
    "Define each under a name of its own: as functions of different names, or with @task(name=...) on local functions; "
    "for other options of one function use with_options()"
)


def _holder_of(key: str) -> TaskLike:
    """The one task that a contested key means: the last one alive, or the one that its module shows at that place."""
    rivals = _rivals_of(key)
    if rivals:
        gc.collect()  # those that nobody can send any more do not count
        rivals = _rivals_of(key)
    last = _tasks[key]
    if not rivals:
        return last
    shown = getattr(at_its_place(last.fn), "identity", None)
    if shown is last.identity:
        return last
    raise AmbiguousTask(
        f"{len(rivals) + 1} tasks that do not do the same are defined as {key!r}: which one is meant is not known, "
        f"so none is run. {_MEND}"
    )


def _rivals_of(key: str) -> list[TaskLike]:
    last, found = _tasks[key], []
    for reference in contested.get(key, ()):
        rival = reference()
        if rival is not None and not rival.identity.same_as(last.identity):
            found.append(rival)
    return found


def _unknown(key: str) -> str:
    names = ", ".join(sorted(_tasks)[:10]) or "none"
    text = f"no task {key!r} is known here; known are: {names}. Is its module imported by this worker (-A)?"
    place = key.partition("#")[0]
    if place != key and any(known.startswith(place + "#") for known in _tasks):
        text += f" (tasks at {place} are known, but their closures hold other values, or their code differs)"
    return text


def known() -> list[TaskLike]:
    """All tasks, by key."""
    return [_tasks[key] for key in sorted(_tasks)]


def keys() -> list[str]:
    """The keys of all tasks."""
    return sorted(_tasks)
