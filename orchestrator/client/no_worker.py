"""Hints about calls that no live worker takes: none reads their queue, or none knows their task."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from brokers.schema import FLOW_CALL
from orchestrator.client.project import VARIABLE
from orchestrator.runnables import registry
from orchestrator.runnables.identity import MAIN

Workers: TypeAlias = Mapping[str, Mapping[str, str]]
"""The live consumers with their descriptions: see :func:`orchestrator.slots.description.describe`."""


def reads(facts: Mapping[str, str], queue: str) -> bool:
    """Whether a consumer reads a queue.

    >>> reads({"queues": "high,default"}, "default")
    True
    """
    return queue in facts.get("queues", "").split(",")


def knows(facts: Mapping[str, str], queue: str, task_key: str, script: str | None = None) -> bool:
    """Whether a consumer reads the queue and knows the task, perhaps as one of a script: it would run the call.

    >>> knows({"queues": "default", "tasks": "shop.load,shop.mail"}, "default", "shop.load")
    True
    """
    if not reads(facts, queue):
        return False
    named = script is not None and f"{task_key}@{script}" in facts.get("scripts", "").split(",")
    return named or registry.is_built_in(task_key) or task_key in facts.get("tasks", "").split(",")


def may_know(facts: Mapping[str, str], queue: str, task_key: str) -> bool:
    """The same where the script of a call is not known: it may have to ask the call itself."""
    if knows(facts, queue, task_key):
        return True
    scripts = facts.get("scripts", "").split(",")
    return reads(facts, queue) and any(name.rpartition("@")[0] == task_key for name in scripts)


def parameters_of(facts: Mapping[str, str], task_key: str) -> list[str] | None:
    """The names of a task's parameters as a consumer has it; ``None`` where it does not say.

    >>> parameters_of({"parameters": '{"shop.load": ["item", "site"]}'}, "shop.load")
    ['item', 'site']
    """
    try:
        names = json.loads(facts.get("parameters") or "{}")[task_key]
        return [str(name) for name in names] if isinstance(names, list) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def text_of_unknown(task_key: str, queue: str) -> str:
    """Why a call waits whose task none of the workers of its queue knows.

    >>> text_of_unknown("shop.load", "default")
    'no live worker of the queue default knows shop.load: the call waits for one that does'
    """
    return f"no live worker of the queue {queue} knows {task_key}: the call waits for one that does"


def hints(used: Iterable[tuple[str, str, str | None]], workers: Workers) -> dict[str, str]:
    """What keeps calls waiting, as sentences.

    Args:
        used: queue and task of the calls, and the mark of the script that has the task.
        workers: those that live.

    Returns:
        Sentences by what they are about (a queue, or a task), so that each is logged once.
    """
    found: dict[str, str] = {}
    for queue, task_key, script in sorted(used, key=str):
        start = f"the calls are kept; {_what_to_start(task_key, queue)}"
        if not any(reads(facts, queue) for facts in workers.values()):
            found[queue] = f"no live worker serves the queue {queue}: {start}"
        elif not any(knows(facts, queue, task_key, script) for facts in workers.values()):
            alike = _alike(task_key, queue, workers)
            found[task_key] = f"no live worker of the queue {queue} knows {task_key}: {start}{alike}"
    return found


def text_of_projects(projects: Iterable[str]) -> str:
    """A sentence on live workers that do not get these calls, for they are of other projects; empty if there are none.

    >>> text_of_projects(["/home/ann/shop"])
    '; other projects on this private server have live workers: /home/ann/shop (ORCHESTRATOR_PROJECT shares them)'
    """
    names = ", ".join(sorted(projects))
    return names and f"; other projects on this private server have live workers: {names} ({VARIABLE} shares them)"


def _what_to_start(task_key: str, queue: str) -> str:
    """The command that would help.

    >>> _what_to_start("shop.load", "default")
    'start one with `orchestrator worker -A shop -Q default`'
    >>> _what_to_start("<stdin>.load", "default").partition(":")[0]
    'load was typed in, and no worker can import it'
    """
    module = _module_of(task_key)
    if module in MAIN or module.startswith("<"):  # of `python -`, `python -c` and the interactive prompt
        return (
            f"{task_key.rpartition('.')[2]} was typed in, and no worker can import it: write it into a file and start "
            f"`orchestrator worker -A that_file.py -Q {queue}`, or submit it in a flow"
        )
    return f"start one with `orchestrator worker -A {module} -Q {queue}`"


def _module_of(task_key: str) -> str:
    """What to name after ``-A``, as far as a key shows it."""
    parts = task_key.removeprefix(FLOW_CALL).partition("#")[0].partition("[")[0].split(".")
    while len(parts) > 1 and (len(parts[-2:]) == 2 and (parts[-2] == "<locals>" or parts[-1] == "<locals>")):
        parts.pop()
    return ".".join(parts[:-1]) or "your.module"


def _alike(task_key: str, queue: str, workers: Workers) -> str:
    """Tasks of the same name elsewhere: most often the same file, imported under another name."""
    name = task_key.rpartition(".")[2].partition("#")[0]
    known = {key for facts in workers.values() if reads(facts, queue) for key in facts.get("tasks", "").split(",")}
    alike = sorted(key for key in known if key.rpartition(".")[2].partition("#")[0] == name)[:3]
    return (
        f" (known there are {', '.join(alike)}: other tasks, or the same file imported by another name)"
        if alike
        else ""
    )
