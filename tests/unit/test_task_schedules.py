"""Schedules that modules declare for their tasks, and the calls that are made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from brokers.messages import Envelope
from orchestrator import task
from orchestrator.client.fleet import current_fleet
from orchestrator.client.schemas.schedules import CronSchedule
from orchestrator.errors import ConfigurationError, ParameterBindError, SerializationError
from orchestrator.futures import PrefectFuture
from orchestrator.schedules import Cron, Interval
from orchestrator.scheduling.calls import TickRun, calls_for, task_template
from orchestrator.scheduling.declarations import declarations, forget_declarations
from orchestrator.scheduling.record import ScheduleRecord
from orchestrator.serializers import (
    NO_PROTECTION,
    KeyRing,
    Protection,
    protect,
    set_key_ring,
    unpack_call,
)
from orchestrator.submission.call_options import NO_OPTIONS
from orchestrator.submission.signed_calls import call_context
from orchestrator.testing import inline


@pytest.fixture(autouse=True)
def nothing_declared_and_no_store() -> Iterator[None]:
    forget_declarations()
    with inline():
        yield
        protect(NO_PROTECTION)
    forget_declarations()
    set_key_ring(lambda: None)


@task
def report(city: str, days: int = 1, *, at: Any = None) -> str:
    return f"{city} {days}"


@task(version="2.10")
def tidy() -> None: ...


def test_a_declaration_holds_what_was_said_and_where() -> None:
    made = report.schedule(
        "every night",
        cron="0 3 * * *",
        timezone="Europe/Oslo",
        parameters={"city": "Oslo"},
        queue="reports",
        priority="low",
        expires=timedelta(minutes=5),
        version="1.2",
    )
    assert declarations() == [made]
    assert made.schedule == Cron("0 3 * * *", "Europe/Oslo", parameters={"city": "Oslo"})
    assert (made.options.queue, made.options.priority, made.options.expires_ms) == ("reports", "low", 300_000)
    assert (made.version, made.module) == ("1.2", __name__)
    assert made.place.startswith(f"{__file__}:")


@pytest.mark.parametrize(
    ("keywords", "means"),
    [
        ({"interval": "PT30M"}, Interval(1800)),
        ({"interval": 7, "anchor_date": None}, Interval(7)),
        ({"rrule": "FREQ=DAILY"}, None),
        ({"schedule": Cron("@daily", active=False)}, Cron("@daily", active=False)),
        ({"schedule": CronSchedule(cron="@daily")}, Cron("@daily")),
        ({"cron": "@daily", "active": False}, Cron("@daily", active=False)),
    ],
)
def test_each_way_to_say_when(keywords: dict[str, Any], means: Any) -> None:
    made = tidy.schedule("tidy", **keywords).schedule
    assert means is None or made == means


def test_the_version_is_the_tasks_unless_it_cannot_be_compared() -> None:
    assert tidy.schedule("a", cron="@daily").version == "2.10"
    assert tidy.with_options(version="f00ba4").schedule("b", cron="@daily").version is None


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"cron": "@daily"}, ParameterBindError, "schedule 'x': .*'city'"),
        ({"cron": "@daily", "parameters": {"city": "Oslo", "dayz": 3}}, ParameterBindError, "'dayz'"),
        ({"cron": "@daily", "interval": 3}, ValueError, "interval and cron"),
        ({"schedule": Cron("@daily"), "timezone": "Europe/Oslo"}, ValueError, "schedule= or timezone="),
        ({}, ValueError, "none of them"),
        ({"cron": "0 0 31 2 *"}, ValueError, "never fires"),
        ({"cron": "@daily", "evry": 3}, TypeError, "no option 'evry'"),
        ({"cron": "@daily", "queue": "a b"}, ValueError, "queue='a b'"),
        ({"cron": "@daily", "priority": "huge"}, ValueError, "'huge'"),
        ({"cron": "@daily", "parameters": {"city": "x"}, "version": "f00ba4"}, ValueError, "version='f00ba4'"),
    ],
)
def test_what_is_wrong_is_refused_where_it_is_declared(
    keywords: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        report.schedule("x", **keywords)
    assert declarations() == []


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, 7])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="1 to 200 characters"):
        tidy.schedule(name, cron="@daily")


def test_a_name_is_any_text() -> None:
    assert tidy.schedule("jede Nacht, 3 Uhr / ночь", cron="@daily").name == "jede Nacht, 3 Uhr / ночь"


def test_two_schedules_of_one_name_are_refused_and_both_places_are_named() -> None:
    first = tidy.schedule("nightly", cron="@daily")
    with pytest.raises(ConfigurationError, match="nightly") as refused:
        tidy.schedule("nightly", cron="@hourly")
    assert first.place in str(refused.value)
    assert declarations() == [first]


def test_a_module_that_is_loaded_twice_declares_the_same() -> None:
    code = "from orchestrator import task\n@task\ndef load(): ...\nload.schedule('load', interval=60, parameters={})\n"
    for _ in range(2):
        module = ModuleType("shop_that_is_loaded_twice")
        exec(code, vars(module))
    (made,) = declarations()
    assert made.module == "shop_that_is_loaded_twice"


# -- the calls ---------------------------------------------------------------------------------------------------------


def record(the_id: str = "schedule 1", **parameters: Any) -> ScheduleRecord:
    template, route = task_template(current_fleet(), report, the_id, ("Oslo",), parameters, NO_OPTIONS)
    return ScheduleRecord(the_id, "t:report", template=template, route=route)


def call_of(made: ScheduleRecord, run_id: str) -> Envelope:
    (call,) = calls_for(current_fleet(), made, [TickRun(run_id, 1_767_225_600_000)])
    return call


def arguments(call: Envelope, run_id: str) -> Any:
    return unpack_call(call.body, context=lambda: call_context(call.task, run_id, call.meta), upstream_values={})


def test_a_template_makes_calls_under_other_ids() -> None:
    made = record(days=3)
    call = call_of(made, "run-1")
    assert (call.run_id, call.task, call.route) == ("run-1", report.task_key, "default:ds")
    assert arguments(call_of(made, "run-2"), "run-2") == (["Oslo"], {"days": 3})


@pytest.mark.parametrize("protection", [Protection(signs=True), Protection(signs=True, demands=True)])
def test_a_signed_template_is_worth_something_only_at_its_schedule(protection: Protection) -> None:
    ring = KeyRing([b"a key of ours" * 2])
    set_key_ring(lambda: ring)
    protect(protection)
    made = record()
    call = call_of(made, "run-1")
    assert arguments(call, "run-1") == (["Oslo"], {})
    with pytest.raises(SerializationError, match="signature"):
        call_of(replace(made, id="schedule 2"), "run-1")
    with pytest.raises(SerializationError, match="signature"):
        arguments(call, "run-2")


def test_a_template_that_holds_a_pickle_needs_the_key() -> None:
    set_key_ring(lambda: KeyRing([b"a key of ours" * 2]))
    made = record(at=Odd(3))
    assert arguments(call_of(made, "run-1"), "run-1")[1]["at"].value == 3
    set_key_ring(lambda: None)
    with pytest.raises(SerializationError, match="ORCHESTRATOR_SECRET_KEY"):
        call_of(made, "run-1")


class Odd:
    def __init__(self, value: int) -> None:
        self.value = value


def test_a_run_among_the_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="hold a future"):
        record(at=PrefectFuture("01a2b3c4-0000-7000-8000-000000000000", source=None))
