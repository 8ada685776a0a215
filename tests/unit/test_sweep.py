"""What the cut sweep breaks, and what it leaves out: never a command, never a way of breaking one."""

from __future__ import annotations

import pytest

from tests.support.fault_proxy import CUT_AFTER, LOADING, NOSCRIPT, OOM, READONLY, Point
from tests.support.sweep import ERRORS, FAULTS, NETWORK, ROUTINE, WITH_ROUTINE, Try, can_be, is_swept_here, select

FLAGS = {
    "client": frozenset[str](),
    "info": frozenset({"loading"}),
    "xread": frozenset({"readonly"}),
    "xreadgroup": frozenset({"write"}),
    "set": frozenset({"write", "denyoom"}),
}
SEEN = [
    *(Point("CLIENT SETNAME orchestrator", number) for number in (1, 2)), Point("INFO", 1), Point("beat", 1),
    *(Point(name, number) for name in ("fetch", "XREADGROUP", "complete") for number in range(1, 5)),
]  # fmt: skip


def test_the_full_sweep_leaves_out_nothing() -> None:
    everything = select("full", "retries", "worker", SEEN, FLAGS)
    assert sorted(everything.tries) == sorted(Try(point, fault) for point in SEEN for fault in FAULTS)
    assert everything.left_out == 0


def test_what_is_not_broken_is_counted() -> None:
    for size in ("part", "whole"):
        some = select(size, "retries", "worker", SEEN, FLAGS)
        assert len(some.tries) + some.left_out == len(SEEN) * len(FAULTS)
        assert some.commands == 12


def test_every_command_is_broken_in_some_scenario() -> None:
    for name in (*ROUTINE, "fetch", "CLIENT SETNAME orchestrator"):
        for side in ("client", "worker"):
            assert is_swept_here("one call", side, name)
    for scenario, names in WITH_ROUTINE.items():
        assert all(is_swept_here(scenario, "worker", name) for name in names if name != "CLIENT")
    assert is_swept_here("retries", "client", "XREAD"), "ends of its calls come by it"
    assert not is_swept_here("retries", "worker", "XREAD"), "nobody writes to its inbox"


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("submit", {OOM, READONLY, NOSCRIPT, LOADING}),
        ("EVALSHA ?", {OOM, READONLY, NOSCRIPT, LOADING}),
        ("SET", {OOM, READONLY, LOADING}),
        ("XREADGROUP", {READONLY, LOADING}),
        ("XREAD", {LOADING}),
        ("CLIENT SETNAME orchestrator", {LOADING}),
        ("INFO", set()),
    ],
)
def test_errors_that_a_server_cannot_answer_with_are_left_out(name: str, possible: set[object]) -> None:
    point = Point(name, 1)
    assert {fault for fault in ERRORS if can_be(Try(point, fault), FLAGS)} == possible
    assert all(can_be(Try(point, fault), FLAGS) for fault in NETWORK)


def test_a_part_breaks_each_command_once_in_the_network_and_all_ways_come_about() -> None:
    part = select("part", "retries", "worker", SEEN, FLAGS)
    whole = select("whole", "retries", "worker", SEEN, FLAGS)
    assert set(part.tries) < set(whole.tries)
    for point in {one.point for one in whole.tries}:
        faults = [one.fault for one in part.tries if one.point == point]
        assert sum(fault in NETWORK for fault in faults) == 1
        assert sum(fault in ERRORS for fault in faults) <= 1
    assert {one.fault for one in part.tries} == set(FAULTS)
    for name in ("fetch", "complete"):
        assert {one.fault for one in part.tries if one.point.name == name} == set(FAULTS)


def test_the_longest_are_begun_first() -> None:
    tries = select("whole", "retries", "worker", SEEN, FLAGS).tries
    late = [one.fault in NETWORK[2:] for one in tries]
    assert late == sorted(late, reverse=True)
    assert Try(Point("fetch", 1), CUT_AFTER) in tries


def test_nearly_all_must_be_met_but_what_somebody_else_may_do_first() -> None:
    commands = [Point("fetch", number) for number in range(1, 6)] + [Point("react", 1)]
    alone, racing = (select("whole", name, "worker", commands, FLAGS) for name in ("retries", "automation"))
    hits = [one.point.name == "fetch" for one in alone.tries]
    assert alone.are_met([True] * len(hits))
    assert alone.are_met(hits)
    assert not alone.are_met([hit and one.point.number > 1 for one, hit in zip(alone.tries, hits, strict=True)])
    assert racing.are_met(hits)
    assert not racing.are_met([one.point.name == "react" for one in racing.tries])
