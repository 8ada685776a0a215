"""Bytes from anybody: nothing runs, and only our errors come out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import OrchestratorError, SerializationError, UntrustedPayload
from orchestrator.serializers import (
    KeyRing,
    PayloadLimits,
    known_types,
    pack_call,
    pack_value,
    set_key_ring,
    unpack_call,
    unpack_exception,
    unpack_value,
    wire,
)

CODES = [value for name, value in vars(wire).items() if name.isupper() and name != "MAX_DEPTH"]


def context() -> tuple[str, ...]:
    return ("call",)


def read_call(body: bytes) -> Any:
    return unpack_call(body, context=context, upstream_values={})


def read_value(body: bytes) -> Any:
    return unpack_value(body, context=context)


READERS: list[Callable[[bytes], Any]] = [read_call, read_value, unpack_exception]


@pytest.fixture(params=["no key", "key"])
def key(request: pytest.FixtureRequest) -> Any:
    if request.param == "key":
        set_key_ring(lambda: KeyRing([b"k" * 32]))
    yield request.param
    set_key_ring(lambda: None)


class Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def ext(code: int, inside: Any) -> Any:
    return msgpack.ExtType(code, inside if isinstance(inside, bytes) else msgpack.packb(inside))


def plain(value: Any) -> bytes:
    return bytes(b"\x01" + msgpack.packb(value))


@pytest.mark.usefixtures("key")
def test_a_pickle_in_an_unsigned_body_is_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    bomb = pickle.dumps(Bomb(canary))
    evil = ext(wire.PICKLE, bomb)
    nested = ext(wire.TUPLE, [ext(wire.RECORD, ["x:Y", {"a": evil}])])
    for inside in (evil, nested, {evil: 1}):
        for body in (plain(inside), plain([[inside], {}])):
            with pytest.raises(UntrustedPayload, match="signature"):
                read_value(body)
            if body == plain([[inside], {}]):
                with pytest.raises(UntrustedPayload, match="signature"):
                    read_call(body)
    for tag in (3, 0x43, 0x83, 0xC3, 0x81, 0xC1):  # pickle and signed msgpack, with wrong or no signatures
        for body in (bytes((tag,)) + bomb, bytes((tag,)) + b"s" * 32 + bomb):
            with pytest.raises(SerializationError):
                read_value(body)
    assert not canary.exists()


def test_a_signed_pickle_is_run_only_under_the_right_key_and_in_its_own_context(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    set_key_ring(lambda: KeyRing([b"theirs" * 6]))
    body = pack_value(Bomb(canary), context=context)
    set_key_ring(lambda: KeyRing([b"ours" * 8]))
    try:
        with pytest.raises(UntrustedPayload, match="does not fit"):
            read_value(body)
        set_key_ring(lambda: KeyRing([b"theirs" * 6]))
        with pytest.raises(UntrustedPayload, match="does not fit"):
            unpack_value(body, context=lambda: ("another call",))
        for index in range(len(body)):
            changed = body[:index] + bytes((body[index] ^ 1,)) + body[index + 1 :]
            with pytest.raises(SerializationError):
                read_value(changed)
        assert not canary.exists()
        read_value(body)  # and that the bomb does go off shows that the test tests something
        assert canary.exists()
    finally:
        set_key_ring(lambda: None)


@pytest.mark.parametrize("code", [wire.ENUM, wire.RECORD, wire.NAMEDTUPLE, wire.SUBCLASS])
def test_nothing_is_imported_or_constructed_by_name(code: int) -> None:
    assert "this" not in sys.modules
    for name in ("this:s", "subprocess:Popen", "os:system", "builtins:eval", "pathlib:Path", f"{__name__}:Plain"):
        for inside in ({"args": "ls"}, ["ls"], "ls"):
            if code == wire.RECORD and not isinstance(inside, dict):
                continue
            with pytest.raises(SerializationError, match=r"is not loaded here|is no enum|is no named|of another kind"):
                read_value(plain(ext(code, [name, inside])))
    assert "this" not in sys.modules
    assert not Victim.touched


class Plain:
    """Loaded, but no class that travels by name."""


@dataclasses.dataclass
class Victim:
    """Loaded, but named by nobody."""

    touched = False
    a: int = 0

    def __post_init__(self) -> None:
        Victim.touched = True


@dataclasses.dataclass
class Gadget:
    """What would delete a file when it is forgotten."""

    path: str

    def __del__(self) -> None:
        Victim.touched = True


def test_a_loaded_class_is_built_without_running_it_and_not_at_all_if_its_end_would_run() -> None:
    assert read_value(plain(ext(wire.RECORD, [f"{__name__}:Victim", {"a": 3}]))).a == 3
    with pytest.raises(SerializationError, match="has a __del__"):
        read_value(plain(ext(wire.RECORD, [f"{__name__}:Gadget", {"path": "x"}])))
    assert not Victim.touched


class LoudError(Exception):
    heard: list[Any] = []  # noqa: RUF012

    def __new__(cls, *args: Any) -> LoudError:
        cls.heard.append(("new", args))
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        self.heard.append(("init", args))
        super().__init__(*args)


def described(module: str, qualname: str, *args: Any, **more: Any) -> bytes:
    parts = [msgpack.packb(arg) for arg in args]
    return plain({"m": module, "q": qualname, "a": parts, "s": "text", "t": "", **more})


def test_an_exception_runs_no_code_of_its_own_class() -> None:
    exc = unpack_exception(described(__name__, "LoudError", 1))
    assert type(exc) is LoudError
    assert exc.args == (1,)
    assert LoudError.heard == []


@pytest.mark.parametrize(
    ("module", "qualname"),
    [
        ("subprocess", "Popen"),
        ("builtins", "SystemExit"),
        ("builtins", "KeyboardInterrupt"),
        ("builtins", "BaseException"),
        ("builtins", "eval"),
        ("builtins", ""),
        ("", ""),
        ("this", "d"),
        ("os", "path.supports_unicode_filenames"),
        ("os", "sys.exit"),
        ("nowhere", "Error"),
    ],
)
def test_only_loaded_exceptions_are_built(module: str, qualname: str) -> None:
    assert type(unpack_exception(described(module, qualname, 1))).__name__ == "RemoteError"
    assert "this" not in sys.modules


def test_a_module_is_not_asked_for_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys.modules[__name__], "__getattr__", lambda name: pytest.fail(f"asked for {name}"), raising=False
    )
    assert type(unpack_exception(described(__name__, "Lazy", 1))).__name__ == "RemoteError"


def test_a_proxy_in_a_module_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    class Proxy:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            pytest.fail("touched")

        def __getattr__(self, name: str) -> Any:
            pytest.fail(f"asked for {name}")

    monkeypatch.setattr(sys.modules[__name__], "proxy", Proxy(), raising=False)
    monkeypatch.setitem(sys.modules, "proxied", Proxy())
    for module, name in ((__name__, "proxy"), (__name__, "proxy.Error"), ("proxied", "Error")):
        assert type(unpack_exception(described(module, name, 1))).__name__ == "RemoteError"


def test_dunder_attributes_are_not_set() -> None:
    more = {"d": {"__class__": msgpack.packb(1), "__cause__": msgpack.packb(1), "ok": msgpack.packb(1)}}
    exc = unpack_exception(described("builtins", "ValueError", **more))
    assert vars(exc) == {"ok": 1}


def test_zone_keys_stay_in_the_zone_database() -> None:
    for key in ("../../etc/passwd", "/etc/passwd", "a.b/c", "", "Europe/..", "No/Such"):
        with pytest.raises(SerializationError):
            read_value(plain(ext(wire.DATETIME, f"2026-01-01T00:00:00[{key}]".encode())))


def test_an_object_array_does_not_unpickle(tmp_path: Path) -> None:
    import io

    import numpy as np

    canary = tmp_path / "canary"
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(canary)], dtype=object), allow_pickle=True)
    with pytest.raises(SerializationError):
        read_value(plain(ext(wire.ARRAY, buffer.getvalue())))
    for dtype in ("O", "|O8", "O,O", "V8", "f8,O"):
        with pytest.raises(SerializationError):
            read_value(plain(ext(wire.SCALAR, [dtype, b"\0" * 8])))
    assert not canary.exists()


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01",
        b"\x00",
        b"\x3f",
        b"\xff",
        b"\x41",
        b"\x41nonsense",
        b"\x81",
        b"\x81" + b"s" * 31,
        b"\x01\xdd\xff\xff\xff\xff",
        b"\x01\xdf\xff\xff\xff\xff",
        b"\x01\xc6\xff\xff\xff\xff",
        b"\x01" + b"\x91" * 100_000,
        b"\x01" + b"\x81\x01" * 100_000,
        b"\x01" + b"\xdd\x00\x01\x00\x00" * 1_000 + b"\xc0",
        b"\x01\xc0\xc0",
        b"\x01\xc1",
        b"\x01\x81\x90\xc0",
        b"\x02" + b"[" * 100_000,
        b"\x02" + b"1" * 10_000,
        b"\x02\xff",
        plain([[], {1: 2}]),
        plain([[], []]),
        plain([]),
    ],
    ids=lambda body: f"{body[:12]!r}-{len(body)}" if isinstance(body, bytes) else None,
)
def test_garbage_is_an_error_of_ours(read: Any, body: bytes) -> None:
    try:
        read(body)
    except SerializationError:
        return
    assert read is read_value  # a result may be any value


def test_the_wrong_kind_of_body_is_refused_as_a_call() -> None:
    for serializer in ("json", "msgpack"):
        with pytest.raises(SerializationError):
            read_call(pack_value([1], context=context, serializer=serializer))


@pytest.mark.parametrize("code", sorted(set(CODES) - {wire.BYTEARRAY, wire.BIG_INT}))  # any bytes will do for these
def test_nesting_without_end_is_an_error_of_ours(code: int) -> None:
    data = msgpack.packb([])
    for _ in range(3_000):
        data = msgpack.packb(msgpack.ExtType(code, data))
    with pytest.raises(SerializationError):
        read_value(b"\x01" + data)


@pytest.mark.parametrize("wrap", [lambda x: ext(wire.TUPLE, [x]), lambda x: ext(wire.RECORD, ["a:b", {"a": x}])])
def test_nesting_in_a_thread_does_not_crash_the_process(wrap: Any) -> None:
    value: Any = 1
    for _ in range(1_000):
        value = wrap(value)
    errors = []

    def read() -> None:
        try:
            read_value(plain(value))
        except SerializationError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_packing_hostile_shapes_does_not_crash_the_process() -> None:
    # In a process of its own, because what it guards against is a segmentation fault.
    program = """
import threading
from orchestrator.errors import SerializationError
from orchestrator.serializers import pack_value
def nested(levels, inside):
    for _ in range(levels): inside = [inside]
    return inside
def try_all():
    for tuples, lists in ((100_000, 0), (0, 100_000), (60, 500), (400, 50), (20, 510)):
        value = 1
        for _ in range(tuples): value = (nested(lists, value),)
        if not tuples: value = nested(lists, 1)
        try: pack_value(value, context=tuple)
        except SerializationError: print("refused")
        else: print("packed")
thread = threading.Thread(target=try_all); thread.start(); thread.join()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["refused"] * 5, done.stderr[-2000:]


@known_types.learn
@dataclasses.dataclass
class Known:
    a: int = 0


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(max_size=40),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4),
        st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inside, max_size=3),
        st.builds(ext, st.sampled_from(CODES) | st.integers(0, 127), inside),
        st.builds(
            lambda code, name, rest: ext(code, [name, *rest]),
            st.sampled_from([wire.ENUM, wire.RECORD, wire.NAMEDTUPLE, wire.SUBCLASS]),
            st.sampled_from([f"{__name__}:Known", "collections:OrderedDict", "collections:Counter", "x:y"]),
            st.lists(inside, max_size=3),
        ),
    ),
    max_leaves=10,
)


@given(anything)
def test_well_formed_nonsense_gives_a_value_or_an_error_of_ours(value: Any) -> None:
    for body in (plain(value), plain([value, {}]), plain([[value], {"a": value}])):
        for read in READERS:
            with contextlib.suppress(OrchestratorError):
                read(body)


descriptions = st.fixed_dictionaries(
    {},
    optional={
        "m": st.sampled_from(["builtins", __name__, "", "json"]) | anything,
        "q": st.sampled_from(
            [
                "OSError",
                "UnicodeDecodeError",
                "SyntaxError",
                "ExceptionGroup",
                "KeyError",
                "StopIteration",
                "ImportError",
            ]
        )
        | anything,
        "a": st.lists(anything.map(msgpack.packb) | st.binary(), max_size=5) | anything,
        "d": st.dictionaries(st.text(), anything.map(msgpack.packb)) | anything,
        "h": st.dictionaries(st.sampled_from(["filename", "name", "path"]), anything.map(msgpack.packb)) | anything,
        "n": anything,
        "t": anything,
        "s": anything,
        "e": st.lists(
            st.fixed_dictionaries({"q": st.just("ValueError"), "m": st.just("builtins")}) | anything, max_size=3
        ),
    },
)


@given(descriptions)
def test_nonsense_exceptions_can_be_read_and_told_or_are_an_error_of_ours(description: Any) -> None:
    import traceback

    try:
        exc = unpack_exception(plain(description))
    except OrchestratorError:
        return
    traceback.format_exception(exc)
    assert isinstance(exc, Exception)


@given(st.binary(max_size=200))
def test_random_bytes_give_a_value_or_an_error_of_ours(data: bytes) -> None:
    for tag in (b"", b"\x01", b"\x02", b"\x41", b"\x81"):
        for read in READERS:
            with contextlib.suppress(OrchestratorError):
                read(tag + data)


@given(st.data())
def test_damaged_bodies_give_a_value_or_an_error_of_ours(data: st.DataObject) -> None:
    body = bytearray(pack_call([(1, {2}), Known(3), KeyError("x")], {"a": 2**70}, context=context).body)
    for _ in range(data.draw(st.integers(1, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(0, len(body))) :]
    for read in READERS:
        with contextlib.suppress(OrchestratorError):
            read(bytes(body))


def test_a_decompression_bomb_is_not_inflated() -> None:
    import zlib

    bomb = b"\x41" + zlib.compress(msgpack.packb(b"\0" * 50_000_000), 9)
    assert len(bomb) < 100_000
    limits = PayloadLimits(max_bytes=1_000_000)
    with pytest.raises(UntrustedPayload, match="1,000,000"):
        unpack_value(bomb, context=context, limits=limits)
    with pytest.raises(UntrustedPayload, match="1,000,000"):
        unpack_call(bomb, context=context, upstream_values={}, limits=limits)
    with pytest.raises(UntrustedPayload, match="1,000,000"):
        unpack_exception(bomb, limits)


def test_a_damaged_frame_does_not_crash_the_process() -> None:
    # In a process of its own, because what it guards against is a segmentation fault.
    pytest.importorskip("pyarrow", reason="frames travel unpickled only with pyarrow")
    program = """
import contextlib, random
import pandas
from orchestrator.errors import OrchestratorError
from orchestrator.serializers import pack_value, unpack_value
frame = pandas.DataFrame({"a": [1, 2, 3], "b": ["x", None, "yyyy"], "c": pandas.Categorical(["u", "v", "u"])})
good = pack_value(frame, context=tuple)
chance = random.Random(1)
read = 0
for _ in range(4_000):
    damaged = bytearray(good)
    for _ in range(chance.randint(1, 3)):
        damaged[chance.randrange(80, len(good))] = chance.choice([0, 255, 127, 128, chance.randrange(256)])
    with contextlib.suppress(OrchestratorError):
        unpack_value(bytes(damaged), context=tuple)
        read += 1
print("read", read > 10)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "read True\n"), done.stderr[-2000:]
