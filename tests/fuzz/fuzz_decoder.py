"""Feeds the decoders bytes that a coverage-guided fuzzer makes up: ``python tests/fuzz/fuzz_decoder.py --seconds 60``.

The first byte says who reads the rest, and with which keys. Whatever the bytes are, a value or an error of ours comes
out; anything else ends the fuzzer with its stack and the input (exit status 77), and so does a pickle that is looked
into. Needs atheris (``pip install 'orchestrator[fuzz]'``), which has no wheels for every Python.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(
    include=["orchestrator.serializers", "orchestrator.serializers.outcomes", "orchestrator.slots"]
):
    from brokers.messages import FINAL_STATUSES, Delivery
    from orchestrator import serializers
    from orchestrator.errors import OrchestratorError
    from orchestrator.serializers import (
        NO_PROTECTION,
        CipherRing,
        KeyRing,
        PayloadLimits,
        Protection,
        known_types,
        wire,
    )
    from orchestrator.serializers.outcomes import pack_outcome, read_outcome
    from orchestrator.slots import frames

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

LIMITS = PayloadLimits(max_bytes=1 << 20)
RING = KeyRing([b"a key that the fuzzer does not know"])
PROTECTIONS = (
    NO_PROTECTION,
    Protection(signs=True),
    Protection(signs=True, demands=True),
    Protection(ciphers=CipherRing([b"nor does it know this one, which encrypts"])),
)


@known_types.learn
class Colour(Enum):
    """A type that comes back as itself."""

    RED = 1


@known_types.learn
@dataclasses.dataclass
class Point:
    """Another one."""

    x: int = 0
    y: list[Colour] = dataclasses.field(default_factory=list)


def context() -> tuple[str, ...]:
    return ("call", "1", "shop.order", "run")


def read_call(data: bytes) -> object:
    return serializers.unpack_call(data, context=context, upstream_values={"a": 1}, limits=LIMITS)


def read_value(data: bytes) -> object:
    return serializers.unpack_value(data, context=context, limits=LIMITS)


def read_exception(data: bytes) -> object:
    return serializers.unpack_exception(data, LIMITS)


def read_end(data: bytes) -> object:
    status = sorted(FINAL_STATUSES)[data[0] % len(FINAL_STATUSES)] if data else b"C"
    state = read_outcome("run", status, data[1:])  # raises nothing at all
    return repr(state)


def read_blob(data: bytes) -> object:
    return serializers.disclose(data, context)


def read_meta(data: bytes) -> object:
    return frames.read_meta(Delivery("default:ds 1-0", "run", "shop.order", b"", 0, 0, None, data, 1))


READERS: tuple[Callable[[bytes], object], ...] = (
    read_call,
    read_value,
    read_exception,
    read_end,
    read_blob,
    read_meta,
)


def one_input(data: bytes) -> None:
    """What the fuzzer calls."""
    if not data:
        return
    serializers.protect(PROTECTIONS[data[0] // 16 % len(PROTECTIONS)])
    with contextlib.suppress(OrchestratorError):
        READERS[data[0] % 16 % len(READERS)](data[1:])


def sown() -> list[bytes]:
    """Good bodies, so that the fuzzer begins where it matters."""
    serializers.set_key_ring(lambda: None)
    values: list[Any] = [
        [(1, {2}), frozenset({3}), 2**90, 1j, Decimal("1.5"), UUID(int=7), range(3), slice(1, 2)],
        {"when": datetime(2026, 1, 1, tzinfo=UTC), "for": timedelta(1), "where": Path("/a")},
        [Point(1, [Colour.RED]), Colour.RED, bytearray(b"b"), KeyError("k"), "x" * 20_000],
    ]
    with contextlib.suppress(ImportError):
        import numpy

        values.append([numpy.arange(3), numpy.float64(1.5)])
    with contextlib.suppress(ImportError):
        import pandas
        import pyarrow  # noqa: F401  # without it frames travel pickled

        values.append(pandas.DataFrame({"a": [1, 2], "b": ["x", None]}))
    bodies = [serializers.pack_call([value], {"a": value}, context=context).body for value in values]
    bodies += [serializers.pack_value(value, context=context) for value in values]
    bodies += [serializers.pack_value(1, context=context, serializer="json")]
    bodies += [bytes((1,)) + wire.Packer().pack(wire.ExtType(code, b"\x93\x01\x02\x03")) for code in range(60)]
    ends = [pack_outcome("Cached", "text", 1.0, 2.0, 1, body) for body in bodies[:6]]
    group = ExceptionGroup("some", [ValueError(1), OSError(2, "no", "file")])
    raised = [serializers.pack_exception(error) for error in (group, UnicodeDecodeError("utf-8", b"x", 0, 1, "why"))]
    metas = [wire.Packer().pack({"g": ["a"], "P": "p", "F": "f", "o": bodies[0], "v": 1, "n": 1, "q": "default"})]
    serializers.set_key_ring(lambda: RING)
    enclosed = []
    for protection in PROTECTIONS[1:]:
        serializers.protect(protection)
        enclosed += [serializers.enclose(ends[0], context), serializers.pack_value(values, context=context)]
    sown_for = [bodies, bodies + enclosed, raised, [b"C" + end for end in ends], enclosed, metas]
    firsts = [bytes((reader + 16 * keys,)) for reader in range(len(READERS)) for keys in range(len(PROTECTIONS))]
    return [first + body for first in firsts for body in sown_for[first[0] % 16]]


def refuse_pickles() -> None:
    """End the fuzzer when a pickle is looked into: there is none that anybody of ours has signed."""

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"):
            os.write(2, f"{event}{arguments!r}: the decoder ran something\n".encode())
            os._exit(77)

    sys.addaudithook(watch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long, 60 unless said")
    parser.add_argument("--corpus", type=Path, help="folder that keeps what was found interesting; none: forgotten")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer's chance; 0: another one each time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = options.corpus or Path(folder, "corpus")
        corpus.mkdir(parents=True, exist_ok=True)
        for number, body in enumerate(sown()):
            (corpus / f"sown-{number}").write_bytes(body)
        settings = [f"-max_total_time={options.seconds}", f"-seed={options.seed}", "-max_len=4096", "-timeout=20"]
        settings += ["-rss_limit_mb=2048", "-error_exitcode=77", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
        fuzzer = os.fork()  # it ends its process, and leaves the folder to us
        if fuzzer == 0:
            refuse_pickles()
            atheris.Setup([sys.argv[0], *settings, str(corpus)], one_input)
            atheris.Fuzz()
            os._exit(1)
        _, status = os.waitpid(fuzzer, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
