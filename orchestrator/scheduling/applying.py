"""Writes the schedules that modules declare to the store; several processes and versions may do so at once.

A module's newest code decides what it declares. What older code wants is left alone, so that two versions that run
side by side in a rolling deployment do not undo each other's work.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Literal, NamedTuple, TypeAlias

from brokers.stored import text
from orchestrator.client.conflicts import retried_on_conflict
from orchestrator.client.fleet import Fleet
from orchestrator.errors import OrchestratorError
from orchestrator.schedules import Interval
from orchestrator.schedules.spec import schedule_id
from orchestrator.scheduling import edit
from orchestrator.scheduling.calls import task_template
from orchestrator.scheduling.code_version import CodeVersion, version_here
from orchestrator.scheduling.declarations import Declaration
from orchestrator.scheduling.declaring_modules import (
    DeclaringModule,
    is_known_here,
    modules_of_apps_here,
    read_module,
)
from orchestrator.scheduling.record import ScheduleRecord

log = logging.getLogger("orchestrator.schedules")
OWNER: Final = "t:"
WRITTEN: Final[dict[str, What]] = {"created": "created", "changed": "changed", "unchanged": "unchanged"}
What: TypeAlias = Literal["created", "changed", "unchanged", "older", "taken", "vanished", "deleted", "refused"]


class AppliedSchedule(NamedTuple):
    """What became of a declared schedule.

    Attributes:
        name: of the schedule.
        what: ``older``: newer code has been here; ``taken``: another module has this name; ``vanished``: it is in
            the store and no longer in the code; ``refused``: its call cannot be made.
        why: for people, where there is something to say.
        is_news: whether it is so for the first time.
    """

    name: str
    what: What
    why: str = ""
    is_news: bool = True


def id_of_task_schedule(name: str) -> str:
    """The id of a task's schedule, by its name.

    >>> id_of_task_schedule("nightly") == id_of_task_schedule("nightly")
    True
    """
    return schedule_id(OWNER + name, Interval(1, slug=name))


def apply_declarations(
    fleet: Fleet, declared: Iterable[Declaration], *, prune: bool = False, force: bool = False
) -> list[AppliedSchedule]:
    """Write what is declared in this process.

    Args:
        fleet: where the schedules are kept.
        declared: all declarations of this process.
        prune: delete the schedules that these apps declared once and do no more.
        force: also over newer code, and names that another module has.

    Raises:
        BrokerError: the store does not answer.
    """
    by_module: dict[str, list[Declaration]] = {module.name: [] for module in modules_of_apps_here(fleet)}
    for one in declared:
        by_module.setdefault(one.module, []).append(one)
    names = {one.name for ones in by_module.values() for one in ones}
    found: list[AppliedSchedule] = []
    for module, ones in sorted(by_module.items()):
        found += _Module(fleet, module, ones, names, prune, force).apply()
    return found


class _Module:
    """One module's declarations on their way to the store."""

    def __init__(
        self, fleet: Fleet, name: str, declared: list[Declaration], names: set[str], prune: bool, force: bool
    ) -> None:
        self._fleet, self._name, self._declared, self._names = fleet, name, declared, names
        self._prune, self._force = prune, force
        self._code = version_here(name, declared)

    def apply(self) -> list[AppliedSchedule]:
        return retried_on_conflict(self._apply_once)

    def _apply_once(self) -> list[AppliedSchedule]:
        before = read_module(self._fleet, self._name)
        if self._is_older_than(before):
            return [self._older(one, before.code) for one in self._declared]
        gone = self._gone((before.names | before.vanished) - self._names)
        code = self._code if self._force or self._code.is_newer_than(before.code) else before.code
        names = frozenset(one.name for one in self._declared)
        after = replace(before, code=code, names=names, vanished=gone)
        if after != before:
            after.write(self._fleet)  # first of all: older code that is at work writes nothing from now on
        found = [self._write(one) for one in self._declared]
        if not self._prune:
            return found + [self._vanished(name, name not in before.vanished) for name in sorted(gone)]
        return found + self._delete(gone)

    def _write(self, one: Declaration) -> AppliedSchedule:
        the_id, kwargs = id_of_task_schedule(one.name), dict(one.schedule.parameters)
        try:
            args = one.task.arguments((), kwargs, sent=True)
            template, route = task_template(self._fleet, one.task, the_id, args, kwargs, one.options)
        except (OrchestratorError, ValueError, TypeError) as error:
            return AppliedSchedule(one.name, "refused", str(error))
        schedule = replace(one.schedule, slug=one.name)
        more = {"module": self._name, "task": one.task.task_key}
        refusals: list[AppliedSchedule] = []

        def may_replace(record: ScheduleRecord) -> bool:
            refusals[:] = self._refusals(one, record)
            return not refusals

        written = edit.apply(
            self._fleet, OWNER + one.name, schedule, template, route,
            schedule_id=the_id, more=more, may_replace=may_replace, who=f"module {self._name}",
        )  # fmt: skip
        return refusals[0] if refusals else AppliedSchedule(one.name, WRITTEN[written.what])

    def _refusals(self, one: Declaration, record: ScheduleRecord) -> list[AppliedSchedule]:
        """Why what is stored under a name is left alone; asked after it was read, and before it is written."""
        module = text(record.more.get("module"))
        if module == self._name or not module or self._force:
            now = read_module(self._fleet, self._name)
            return [self._older(one, now.code)] if self._is_older_than(now) else []
        if is_known_here(module):  # it has moved here
            return []
        why = f"module {module} has one of this name, for {text(record.more.get('task'))}: give it another name"
        return [AppliedSchedule(one.name, "taken", why)]

    def _is_older_than(self, stored: DeclaringModule) -> bool:
        return not self._force and stored.code.is_newer_than(self._code)

    def _older(self, one: Declaration, code: CodeVersion) -> AppliedSchedule:
        why = f"newer code of {self._name} has been here: {code}; this is {self._code}"
        return AppliedSchedule(one.name, "older", why)

    # -- what is declared no longer --------------------------------------------------------------------------------

    def _gone(self, names: frozenset[str]) -> frozenset[str]:
        """Those among some names that are schedules of this module in the store."""
        records = edit.read(self._fleet, [id_of_task_schedule(name) for name in sorted(names)])
        found = zip(sorted(names), records, strict=True)
        return frozenset(name for name, record in found if record and text(record.more.get("module")) == self._name)

    def _vanished(self, name: str, is_news: bool) -> AppliedSchedule:
        return AppliedSchedule(name, "vanished", f"{self._name} declares it no longer", is_news)

    def _delete(self, names: frozenset[str]) -> list[AppliedSchedule]:
        if not names:
            return []
        edit.delete(self._fleet, [id_of_task_schedule(name) for name in sorted(names)])
        replace(read_module(self._fleet, self._name), vanished=frozenset()).write(self._fleet)
        return [AppliedSchedule(name, "deleted", f"{self._name} declares it no longer") for name in sorted(names)]
