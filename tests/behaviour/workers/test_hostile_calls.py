"""What nobody who uses our packages would send, put into the store: a dead letter each, and the worker goes on."""

from __future__ import annotations

import os
import pickle
import random
import secrets
import zlib
from pathlib import Path
from typing import Any

import msgpack
import pytest

from brokers.messages import Envelope, Status
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.runs.run_ids import new_run_id
from orchestrator.serializers import wire
from orchestrator.states import State
from tests.conftest import program_or_skip
from tests.support import app_for_workers as app
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.behaviour

GOOD = serializers.pack_call([1, 2], {}, context=tuple).body
ADD = app.add.task_key


@pytest.fixture(scope="session")
def server_program() -> Path:
    """What a worker refuses does not depend on the server."""
    return program_or_skip("embedded")


class Bomb:
    """A pickle that makes a directory."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def plain(value: Any) -> bytes:
    return bytes(b"\x01" + msgpack.packb(value))


def nested(levels: int) -> bytes:
    data = msgpack.packb([])
    for _ in range(levels):
        data = msgpack.packb(msgpack.ExtType(wire.TUPLE, msgpack.packb([msgpack.ExtType(wire.TUPLE, data)])))
    return plain([[msgpack.ExtType(wire.TUPLE, data)], {}])


def bodies(canary: Path) -> dict[str, bytes]:
    chance = random.Random(7)
    pickled = msgpack.ExtType(wire.PICKLE, pickle.dumps(Bomb(canary)))
    return {
        "empty": b"",
        "one byte": b"\x01",
        "random": chance.randbytes(300),
        "random under our tag": b"\x01" + chance.randbytes(300),
        "large and random": b"\x01" + chance.randbytes(2_000_000),
        "truncated": GOOD[:-1],
        "followed by something": GOOD + b"\0",
        "of a format that nobody has": b"\x3f" + GOOD[1:],
        "signed by nobody": b"\x81" + b"s" * 32 + GOOD[1:],
        "encrypted for nobody": b"\x04" + b"e" * 60,
        "a list that claims four billion items": b"\x01\xdd\xff\xff\xff\xff",
        "lists in lists": b"\x01" + b"\x91" * 200_000,
        "tuples in tuples": nested(300),
        "no arguments at all": plain([]),
        "arguments of another shape": plain({"args": []}),
        "names that are numbers": plain([[], {1: 2}]),
        "a decompression bomb": b"\x41" + zlib.compress(msgpack.packb(b"\0" * 100_000_000), 9),
        "oversized once it is inflated": b"\x41" + zlib.compress(b"\x01" * (65 << 20), 1),
        "an unsigned pickle": plain([[pickled], {}]),
        "an unsigned pickle among the options": GOOD,
        "an upstream that nobody named": plain([[msgpack.ExtType(wire.UPSTREAM, b"nobody")], {}]),
    }


METAS: dict[str, bytes] = {
    "a meta that is none": b"\xc1",
    "a meta that is no table": b"\x93\x01\x02\x03",
    "a meta with tags that are none": msgpack.packb({"g": 7}),
    "a meta with options that are none": msgpack.packb({"o": b"\x01\xc1"}),
    "a meta with options that a task does not have": msgpack.packb({"o": plain({"retries": -1})}),
    "written by a newer version that must not be ignored": msgpack.packb({"v": 9, "n": 9}),
    "written by a version that is no longer read": msgpack.packb({"v": 0}),
}


def test_hostile_calls_are_dead_letters_with_their_reasons_and_the_worker_goes_on(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    sent: dict[str, Envelope] = {}
    for what, body in bodies(canary).items():
        sent[what] = Envelope(new_run_id(), ADD, "default:ds", body)
    for what, meta in METAS.items():
        sent[what] = Envelope(new_run_id(), ADD, "default:ds", GOOD, meta=meta)
    options = plain({"on_failure": [msgpack.ExtType(wire.PICKLE, pickle.dumps(Bomb(canary)))]})
    what = "an unsigned pickle among the options"
    sent[what] = sent[what]._replace(meta=msgpack.packb({"o": options}))
    sent["upstreams that are none"] = Envelope(new_run_id(), ADD, "default:ds", GOOD, extras={"u": b"\xc1"})
    sent["a task that nobody has"] = Envelope(new_run_id(), "no.such.task", "default:ds", GOOD)
    sent["a task whose name is garbage"] = Envelope(new_run_id(), "\0\N{SNOWMAN}" * 50, "default:ds", GOOD)
    neighbours = []
    for envelope in sent.values():
        fleet.broker.runs.submit([envelope])
        neighbours.append(app.add.delay(1, 2))
    worker = start_worker("-c", "1", ready=1, ORCHESTRATOR_UNKNOWN_TASK_WAIT_SECONDS="0")
    assert [future.result(timeout=60) for future in neighbours] == [3] * len(neighbours)
    ended = {what: _settled(fleet, envelope) for what, envelope in sent.items()}
    for what, state in ended.items():
        assert (state.name, bool(state.message)) == ("Crashed", True), (what, state)
    dead = fleet.broker.dead_letters.newest(1000)
    assert {envelope.run_id for envelope in sent.values()} == set(dead)
    counts = {task: count for (task, status), count in fleet.broker.figures.ended().items() if status == Status.CRASHED}
    assert sum(counts.values()) == len(sent)
    assert counts["no.such.task"] == 1
    assert "no task 'no.such.task' is known here" in str(ended["a task that nobody has"].message)
    assert "UntrustedPayload" in str(ended["an unsigned pickle"].message)
    assert "UntrustedPayload" in str(ended["an unsigned pickle among the options"].message)
    assert "67,108,864" in str(ended["a decompression bomb"].message)
    assert "upgrade it" in str(ended["written by a newer version that must not be ignored"].message)
    assert not canary.exists()
    assert len(worker.children()) == 1, "a child has died of it"
    assert "the worker failed" not in worker.output
    worker.terminate()
    assert worker.wait() == 0


def _settled(fleet: Fleet, envelope: Envelope) -> State[Any]:
    def state() -> State[Any]:
        return fleet.latest_state(envelope.run_id)

    wait_until(lambda: state().is_settled(), 60, "it has ended")
    return state()


def test_entries_that_nobody_wrote_are_taken_off_and_run_nothing_twice(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    future = app.sleep_and_note.delay(str(tmp_path), "once", 0.0)
    later = app.sleep_and_note.apply_async((str(tmp_path), "later", 0.0), countdown=3600)
    stream = fleet.broker.keys.stream("default:ds")
    strange = [
        ("i", future.run_id),  # duplicated
        ("i", future.run_id),
        ("i", later.run_id),  # its time has not come
        ("i", new_run_id()),  # of a run that is not there
        ("i", secrets.token_bytes(40)),
        ("i", ""),
        ("zz", "of another version"),
        ("i", new_run_id(), "zz", "of another version"),
    ]
    fleet.broker.wires.commands([("XADD", stream, "*", *fields) for fields in strange])
    last = app.add.delay(2, 3)
    worker = start_worker("-c", "1", ready=1)
    assert future.result(timeout=40) == "once"
    assert last.result(timeout=40) == 5
    wait_until(lambda: fleet.broker.wires.commands([("XLEN", stream)]) == [0], 40, "the stream is empty")
    worker.terminate()
    assert worker.wait() == 0
    assert (tmp_path / "notes").read_text().count("once begins") == 1
    assert "later" not in (tmp_path / "notes").read_text()
    assert PrefectFuture[Any](later.run_id).state.name == "Scheduled"
    assert len(worker.children()) == 1


def test_a_record_whose_fields_are_no_text_harms_no_neighbour(fleet: Fleet, start_worker: StartWorker) -> None:
    broken = app.add.delay(1, 1)
    neighbour = app.add.delay(2, 2)
    key = fleet.broker.keys.record(broken.run_id)
    fleet.broker.wires.commands([("HSET", key, "t", b"\xff\xfe", "f", b"\xff")])
    worker = start_worker("-c", "1", ready=1, ORCHESTRATOR_UNKNOWN_TASK_WAIT_SECONDS="0")
    assert neighbour.result(timeout=40) == 4
    wait_until(lambda: fleet.broker.dead_letters.newest() == [broken.run_id], 40, "a dead letter")
    assert len(worker.children()) == 1
