"""Dates and times, as ISO text.

``2026-11-01T02:30:00[Europe/Berlin]~``: the wall clock, the zone by its key, and ``~`` for the second of two equal wall
clock times (fold). A fixed offset is part of the ISO text. Other zones (dateutil, pytz) have no name that means the
same everywhere: those go the way of unknown objects. A zone may also be a value of its own.
"""

from __future__ import annotations

import re
import struct
import sys
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, TypeVar

from orchestrator.errors import SerializationError
from orchestrator.serializers import wire
from orchestrator.serializers.extensions import Writer, extend, readers
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import ExtType

_Clock = TypeVar("_Clock", datetime, time)

_timedelta = struct.Struct(">iii")
# No dots: zoneinfo turns a key into a path and into the name of a package.
_zone_key = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)


def _write_clock(code: int, value: datetime | time, packing: Packing) -> object:
    zone = value.tzinfo
    if zone is None or _is_plain_offset(zone):
        text = value.isoformat()
    elif key := _key_of(zone):
        text = f"{value.replace(tzinfo=None).isoformat()}[{key}]"
    elif type(zone) is timezone:  # one with a name of its own, or an offset that ISO text has no place for
        return ExtType(wire.ZONED, packing.pack([value.replace(tzinfo=None), zone]))
    else:
        return ExtType(wire.PICKLE, packing.pickled(value))
    return ExtType(code, (text + "~" if value.fold else text).encode())


def _read_zoned(data: bytes, reading: Reading) -> datetime | time:
    clock, zone = reading.unpack_list(data, 2)[:2]
    if not isinstance(clock, datetime | time) or not isinstance(zone, tzinfo):
        raise SerializationError("a moment in the body is none")
    return clock.replace(tzinfo=zone)


def _write_timezone(zone: timezone, packing: Packing) -> object:
    return ExtType(wire.ZONE, packing.pack([zone.utcoffset(None), zone.tzname(None)]))


def _write_zone(zone: Any, packing: Packing) -> object:
    key = _key_of(zone)
    return ExtType(wire.PICKLE, packing.pickled(zone)) if key is None else ExtType(wire.ZONE, packing.pack([key]))


def _read_zone(data: bytes, reading: Reading) -> tzinfo:
    first, *name = reading.unpack_list(data, 1)
    if isinstance(first, str):
        return _zone(first)
    zone = timezone(first)
    return zone if not name or zone.tzname(None) == name[0] else timezone(first, name[0])


def find(cls: type) -> Writer | None:
    """The writer of ``zoneinfo.ZoneInfo``."""
    zoneinfo = sys.modules.get("zoneinfo")
    return _write_zone if zoneinfo is not None and cls is zoneinfo.ZoneInfo else None


def _key_of(zone: Any) -> str | None:
    zoneinfo = sys.modules.get("zoneinfo")
    if zoneinfo is None or type(zone) is not zoneinfo.ZoneInfo or not zone.key:
        return None
    key: str = zone.key
    return key if _zone_key.fullmatch(key) else None


def _is_plain_offset(zone: tzinfo) -> bool:
    """Whether ISO text says everything about a zone: a fixed offset in whole seconds without a name of its own.

    CPython's fromisoformat takes an offset of some microseconds for UTC.
    """
    if type(zone) is not timezone:
        return False
    offset = zone.utcoffset(None)
    return not offset.microseconds and zone.tzname(None) == timezone(offset).tzname(None)


def _read_clock(cls: type[_Clock], data: bytes) -> _Clock:
    text = data.decode("ascii")
    fold = text.endswith("~")
    text = text.rstrip("~")
    clock, bracket, key = text.partition("[")
    value = cls.fromisoformat(clock)
    if bracket:
        value = value.replace(tzinfo=_zone(key.rstrip("]")))
    return value.replace(fold=1) if fold else value


def _zone(key: str) -> tzinfo:
    if not _zone_key.fullmatch(key):
        raise SerializationError("a moment in the body names no time zone")
    from zoneinfo import ZoneInfo  # 4 ms at import, and few moments name a zone

    return ZoneInfo(key)


def _write_datetime(value: datetime, packing: Packing) -> object:
    return _write_clock(wire.DATETIME, value, packing)


def _read_datetime(data: bytes, reading: Reading) -> datetime:
    return _read_clock(datetime, data)


def _write_time(value: time, packing: Packing) -> object:
    return _write_clock(wire.TIME, value, packing)


def _read_time(data: bytes, reading: Reading) -> time:
    return _read_clock(time, data)


def _write_date(value: date, packing: Packing) -> object:
    return ExtType(wire.DATE, value.isoformat().encode())


def _read_date(data: bytes, reading: Reading) -> date:
    return date.fromisoformat(data.decode("ascii"))


def _write_timedelta(value: timedelta, packing: Packing) -> object:
    return ExtType(wire.TIMEDELTA, _timedelta.pack(value.days, value.seconds, value.microseconds))


def _read_timedelta(data: bytes, reading: Reading) -> timedelta:
    return timedelta(*_timedelta.unpack(data))


readers[wire.ZONED] = _read_zoned
extend(timezone, wire.ZONE, _write_timezone, _read_zone)
extend(datetime, wire.DATETIME, _write_datetime, _read_datetime)
extend(time, wire.TIME, _write_time, _read_time)
extend(date, wire.DATE, _write_date, _read_date)
extend(timedelta, wire.TIMEDELTA, _write_timedelta, _read_timedelta)
