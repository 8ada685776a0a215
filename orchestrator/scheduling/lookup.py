"""Schedules by what people call them: the name of a task's schedule, ``flow/deployment``, or an id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.client.fleet import Fleet
from orchestrator.errors import ConfigurationError
from orchestrator.scheduling import edit
from orchestrator.scheduling.declaring_modules import vanished_schedules
from orchestrator.scheduling.record import ScheduleRecord

DEPLOYMENT: str = "deployment"


class NamedSchedule(NamedTuple):
    """A schedule, and what people call it: its name, ``flow/deployment``, or the owner that is not known.

    ``vanished_from`` is the module that declared it once and does no more.
    """

    name: str
    record: ScheduleRecord
    vanished_from: str = ""


def named(fleet: Fleet, records: Sequence[ScheduleRecord]) -> list[NamedSchedule]:
    """Schedules with their names. Raises BrokerError."""
    owners = {record.owner[2:] for record in records if record.is_of_deployment}
    documents = fleet.broker.documents.read(DEPLOYMENT, sorted(owners)) if owners else []
    names = {document.id: document.name for document in documents if document is not None and document.name}
    vanished = vanished_schedules(fleet) if any(not record.is_of_deployment for record in records) else {}
    return [
        NamedSchedule(_name_of(record, names), record, vanished.get(record.owner.removeprefix("t:"), ""))
        for record in records
    ]


def _name_of(record: ScheduleRecord, deployments: dict[str, str]) -> str:
    if record.is_of_deployment:
        return deployments.get(record.owner[2:], record.owner)
    return record.owner.removeprefix("t:") or record.id


def find_schedules(fleet: Fleet, text: str) -> list[NamedSchedule]:
    """The schedules that a text means: one of a task, all of a deployment, or the one with that id.

    Raises:
        ConfigurationError: there is none.
        BrokerError: the store does not answer.
    """
    found = edit.of_owner(fleet, f"t:{text}")
    if not found:
        (deployment,) = fleet.broker.documents.find(DEPLOYMENT, [text])
        found = edit.of_owner(fleet, f"d:{deployment or text}")
    if not found:
        found = [record for record in edit.read(fleet, [text]) if record is not None]
    if not found:
        raise ConfigurationError(f"Schedule {text!r} not found!")
    return named(fleet, found)


def find_schedule(fleet: Fleet, text: str) -> NamedSchedule:
    """The one schedule that a text means.

    Raises:
        ConfigurationError: there is none, or a deployment has several; their ids are in the message.
        BrokerError: the store does not answer.
    """
    found = find_schedules(fleet, text)
    if len(found) > 1:
        ids = ", ".join(one.record.id for one in found)
        raise ConfigurationError(f"{text!r} has {len(found)} schedules; say which, by its id: {ids}")
    return found[0]
