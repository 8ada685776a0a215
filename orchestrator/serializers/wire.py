"""The numbers on the wire, and the only door to msgpack.

A number, once given, keeps its meaning for ever: bodies written by an old process are read by a new one. A type that
is retired leaves a gap.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack  # type: ignore[import-untyped, unused-ignore]

ExtType: Any = msgpack.ExtType
"""``ExtType(code, data)``: what a writer returns."""

Packer: Any = msgpack.Packer
unpackb: Any = msgpack.unpackb

UPSTREAM: Final = 1
HANDLE: Final = 2
PICKLE: Final = 3

TUPLE: Final = 10
SET: Final = 11
FROZENSET: Final = 12
DEQUE: Final = 13
DEFAULTDICT: Final = 14
RANGE: Final = 15
SLICE: Final = 16
BYTEARRAY: Final = 17
MEMORYVIEW: Final = 18

BIG_INT: Final = 20
COMPLEX: Final = 21
DECIMAL: Final = 22
UUID: Final = 23
PATH: Final = 24
SECRET: Final = 25
FRACTION: Final = 26
PATTERN: Final = 27

DATETIME: Final = 30
DATE: Final = 31
TIME: Final = 32
TIMEDELTA: Final = 33
ZONE: Final = 34
ZONED: Final = 35

ENUM: Final = 40
RECORD: Final = 41
NAMEDTUPLE: Final = 42
SUBCLASS: Final = 43
EXCEPTION: Final = 44

ARRAY: Final = 50
SCALAR: Final = 51
FRAME: Final = 52

MAX_DEPTH: Final = 64
"""How many values of our own (tuples, sets, dataclasses, ...) may lie inside each other.

Each level is one C call that takes about 40 KiB of the thread's stack when it is read; lists and dicts between
them take nothing. 64 leaves two thirds of a usual 8 MiB stack to the caller.
"""
