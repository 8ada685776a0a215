"""A schedule as plain data (JSON could hold it), and the id that it has by what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from orchestrator.schedules.schedule import Schedule

VERSION: Final = 1
_IDS: Final = UUID("6f0e6d70-5d1b-5c3e-9a43-0d6f3c1f5b11")
_APART: Final = ("active", "parameters")  # kept in fields of their own, so that they can be changed alone
_TIMING: Final = ("interval", "cron", "rrule", "timezone", "anchor_date", "day_or")
_DEFAULTS: Final = {found.name: found.default for found in fields(Schedule) if found.init and found.name not in _APART}


class NewerSchedule(ValueError):
    """The schedule was written by a newer version, and says what this one does not understand."""


def spec_of(schedule: Schedule) -> dict[str, Any]:
    """What a schedule says, without its parameters and whether it is active. What is as by default is left out.

    >>> from orchestrator.schedules import Cron
    >>> spec_of(Cron("@daily", timezone="Europe/Oslo", overlap="skip"))
    {'v': 1, 'cron': '@daily', 'timezone': 'Europe/Oslo', 'overlap': 'skip'}
    """
    given = {name: getattr(schedule, name) for name in _DEFAULTS}
    if given["timezone"] is None and schedule.anchor_date is not None and schedule.zone.key != "UTC":
        given["timezone"] = schedule.zone.key  # names are kept, never offsets
    return {
        "v": VERSION,
        **{name: _plain(value) for name, value in given.items() if value != _DEFAULTS[name]},
    }


def schedule_from(
    spec: Mapping[str, Any], *, active: bool = True, parameters: dict[str, Any] | None = None
) -> Schedule:
    """The schedule that a spec describes.

    Raises:
        NewerSchedule: it was written by a newer version.
        ValueError, TypeError: it describes none.

    >>> schedule_from({"v": 1, "interval": 60.0, "anchor_date": "2026-01-01T00:00:00+00:00"}).interval
    datetime.timedelta(seconds=60)
    """
    given = dict(spec)
    if given.pop("v", None) != VERSION or (unknown := sorted(set(given) - set(_DEFAULTS))):
        what = f"version {spec.get('v')!r}" if spec.get("v") != VERSION else ", ".join(map(repr, unknown))
        raise NewerSchedule(f"its {what} is not known here: a newer version has written it")
    read = {name: _READERS[name](value) if name in _READERS else value for name, value in given.items()}
    return Schedule(**read, active=active, parameters=dict(parameters or {}))


def schedule_id(owner: str, schedule: Schedule) -> str:
    """The id of a schedule among those of an owner: by its slug, or else by when it is due and with which parameters.

    The same after a redeployment, and in a store that came back empty. Two equal ones with other parameters are two.

    >>> from orchestrator.schedules import Cron
    >>> first, second = (Cron("@daily", parameters={"city": city}) for city in ("Oslo", "Rome"))
    >>> schedule_id("d:1", first) == schedule_id("d:1", second)
    False
    """
    if schedule.slug is not None:
        return str(uuid5(_IDS, f"{owner}\nslug {schedule.slug}"))
    timing = {name: value for name, value in spec_of(schedule).items() if name in _TIMING}
    given = json.dumps([timing, schedule.parameters], sort_keys=True, default=repr)
    return str(uuid5(_IDS, f"{owner}\n{given}"))


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime) else value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=ZoneInfo("UTC")) if moment.utcoffset() == timedelta(0) else moment


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "interval": lambda value: timedelta(seconds=value),
    "anchor_date": _moment,
    "until": _moment,
}
