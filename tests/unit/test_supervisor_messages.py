"""What a supervisor and its children say to each other survives the pipe, and damage to a line is noticed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from task_workers.supervisor.messages import (
    ChildMessage,
    ChildSpec,
    Drain,
    Drained,
    Failed,
    Order,
    Pause,
    Ready,
    Recycle,
    UnreadableMessage,
    decode_child_message,
    decode_order,
    decode_spec,
    encode,
)

SPEC = ChildSpec(
    apps=["a"],
    consumer="w.0ab",
    number=0,
    queues=["q"],
    threads=1,
    async_concurrency=100,
    max_tasks=None,
    shutdown_timeout_seconds=25.0,
    log_level="info",
    log_format="text",
    table_fd=5,
    stacks_fd=6,
    events_fd=7,
    parent_pid=8,
)
READY = Ready(tasks=["a.b"], scripts=[], parameters="{}", pid=9)


@pytest.mark.parametrize("message", [READY, Failed("no\nmodule \0 ü"), Recycle("old"), Drained(True), Drained(False)])
def test_a_message_of_a_child_is_one_line_that_reads_the_same(message: ChildMessage) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode_child_message(line) == message


@pytest.mark.parametrize("order", [Drain(None), Drain(2.5), Drain(3), Pause(True), Pause(False)])
def test_an_order_is_one_line_that_reads_the_same(order: Order) -> None:
    assert decode_order(encode(order)) == order


def test_a_spec_is_one_line_that_reads_the_same() -> None:
    assert decode_spec(encode(SPEC)) == SPEC
    counted = dataclasses.replace(SPEC, max_tasks=3, cells_fd=4, paused=True)
    assert decode_spec(encode(counted)) == counted


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"hello",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"null",
        b'{"clean": true}',
        b'{"kind": "Drain", "grace_seconds": 1}',  # an order, not a message of a child
        b'{"kind": "Unheard", "clean": true}',
        b'{"kind": ["Drained"], "clean": true}',
        b'{"kind": "Drained"}',
        b'{"kind": "Drained", "clean": 1}',
        b'{"kind": "Drained", "clean": true',
        b'{"kind": "Failed", "text": null}',
        b'{"kind": "Ready", "tasks": "a.b", "scripts": [], "parameters": "{}", "pid": 9}',
        b'{"kind": "Ready", "tasks": [1], "scripts": [], "parameters": "{}", "pid": 9}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_no_message(line: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        decode_child_message(line)


@pytest.mark.parametrize("cut", [1, 10, -2])
def test_a_line_that_is_cut_is_no_message(cut: int) -> None:
    with pytest.raises(UnreadableMessage):
        decode_child_message(encode(READY)[:cut])


def test_fields_that_are_unknown_are_skipped() -> None:
    told: dict[str, Any] = json.loads(encode(READY)) | {"colour": "red"}
    assert decode_child_message(json.dumps(told).encode()) == READY
