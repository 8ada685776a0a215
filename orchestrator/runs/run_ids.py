"""Run ids: UUIDs of version 7, of calls kept together 8 (RFC 9562): the first 48 bits are time, so ids sort by age."""

from __future__ import annotations

import hashlib
import inspect
import os
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from brokers.block_ids import LEAST_IN_BLOCK, MOST_IN_BLOCK, BlockRunIds

_random = random.Random(os.urandom(32))
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))

_VERSION = 7 << 76
_VERSION_OF_BLOCKS = 8 << 76
_VARIANT = 2 << 62
_LOW = (1 << 62) - 1
_MIDDLE = (1 << 12) - 1


def new_run_id() -> str:
    """A new id, 36 characters; about a microsecond (``uuid.uuid4`` takes three).

    >>> len(new_run_id())
    36
    """
    bits = _random.getrandbits(74)
    number = (time.time_ns() // 1_000_000 << 80) | _VERSION | ((bits >> 62 & _MIDDLE) << 64) | _VARIANT | (bits & _LOW)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_map_run_ids(count: int) -> BlockRunIds:
    """Ids for the calls of a map, which may be kept together: consecutive in blocks, see :mod:`brokers.block_ids`.

    >>> first, *_, last = new_map_run_ids(100)
    >>> first[14], first[:32] == last[:32], last[32:]
    ('8', True, '0063')
    """
    rest = count % MOST_IN_BLOCK
    singles = rest if rest < LEAST_IN_BLOCK else 0
    blocks = [new_block() for _ in range(0, count - singles, MOST_IN_BLOCK)]
    return BlockRunIds(blocks, count - singles, [new_run_id() for _ in range(singles)])


def new_block() -> str:
    """What the ids of the calls of a new block begin with.

    >>> len(new_block()), new_block()[14]
    (32, '8')
    """
    number = (time.time_ns() // 1_000_000 << 80) | _VERSION_OF_BLOCKS | _VARIANT | (_random.getrandbits(46) << 16)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:28]}"


def derived_run_id(run_id: str, index: int) -> str:
    """The id of the ``index``-th run that a run makes: the same each time it is asked for, and they sort by index.

    >>> first, second = (derived_run_id("01890a5d-ac96-774b-bcce-b302099a8057", index) for index in (0, 1))
    >>> first < second, first[:13]
    (True, '01890a5d-ac96')
    """
    bits = int.from_bytes(hashlib.blake2b(run_id.encode(), digest_size=7).digest(), "big")
    low = ((bits & (1 << 38) - 1) << 24 | index) & _LOW
    number = (int(run_id[:8] + run_id[9:13], 16) << 80) | _VERSION | ((bits >> 44 & _MIDDLE) << 64) | _VARIANT | low
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def tick_run_id(schedule_id: str, tick_ms: int, again: int = 0) -> str:
    """The id of the run that a schedule makes for a tick: the same in every process, whoever comes first.

    Its first part is the moment of the tick, so that ids sort by when runs were due.

    Args:
        schedule_id: which schedule.
        tick_ms: the tick, in unix milliseconds.
        again: counts further runs for the same tick.

    >>> tick_run_id("nightly", 1_767_225_600_000)[:13], tick_run_id("nightly", 1_767_225_600_000, 1)[:13]
    ('019b76da-a800', '019b76da-a800')
    """
    digest = hashlib.blake2b(f"{schedule_id} {tick_ms} {again}".encode(), digest_size=10).digest()
    bits = int.from_bytes(digest, "big")
    number = (tick_ms % (1 << 48) << 80) | _VERSION | ((bits >> 62 & _MIDDLE) << 64) | _VARIANT | (bits & _LOW)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def short_name(task_key: str) -> str:
    """The function's name in a task's key: what people see unless the task was given a name.

    >>> short_name("shop.tasks.resize"), short_name("shop.tasks.make.<locals>.inner[to_text]#0a1b2c")
    ('resize', 'inner')
    """
    return task_key.partition("#")[0].partition("[")[0].rpartition(".")[2]


def default_run_name(task_name: str, run_id: str) -> str:
    """The name of a run that was given none.

    >>> default_run_name("resize", "0199f1c2-0000-7000-8000-0000000004d2")
    'resize-4d2'
    """
    return f"{task_name}-{run_id[-3:]}"


class RunNameError(TypeError):
    """A callable that names runs returned something else than text."""


def run_name_from(template: Callable[..., str], parameters: Mapping[str, Any], option: str) -> str:
    """The name that a callable gives; it gets the parameters if it has one parameter of that name.

    Raises:
        RunNameError: it returned something else than text. Whatever it raises.

    >>> run_name_from(lambda parameters: f"day-{parameters['day']}", {"day": 3}, "task_run_name")
    'day-3'
    """
    wants = inspect.signature(template).parameters
    name = template(dict(parameters)) if len(wants) == 1 and "parameters" in wants else template()
    if not isinstance(name, str):
        raise RunNameError(f"{option}={template!r} returned {name!r}: a name must be text")
    return name


def created_at(run_id: str) -> datetime | None:
    """The moment (UTC, by the clock of the caller's machine) at which a run id was made.

    ``None`` for ids that others have made, in which there is none.

    >>> created_at(new_run_id()).tzinfo, created_at("order-17")
    (datetime.timezone.utc, None)
    """
    if len(run_id) != 36 or run_id[14] not in "78":
        return None
    try:
        return datetime.fromtimestamp(int(run_id[:8] + run_id[9:13], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
