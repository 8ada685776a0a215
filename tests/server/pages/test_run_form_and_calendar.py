"""The form of a run and the calendar of a day, as values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator.deployments.record import DeploymentRecord
from orchestrator.inspection import Redaction
from orchestrator.scheduling.record import ScheduleRecord
from orchestrator.server.definition_views import ScheduleView
from orchestrator.server.pages.calendar import OFTEN, calendar_of
from orchestrator.server.pages.run_form import Field, fields_of, read_form, value_of


def record(properties: dict[str, Any], **more: Any) -> DeploymentRecord:
    return DeploymentRecord("1", "nightly", "etl", parameter_schema={"properties": properties, "required": []}, **more)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("number", "1e3", 1000.0),
        ("number", "7", 7),
        ("integer", "-3", -3),
        ("json", '{"a": [1, null]}', {"a": [1, None]}),
        ("text", " as it is ", " as it is "),
        ("text", "", ""),
    ],
)
def test_a_text_in_a_field_is_read_by_its_kind(kind: str, text: str, value: Any) -> None:
    assert value_of(Field("x", kind), text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("number", "nan"),
        ("number", "1e999"),
        ("integer", "1.5"),
        ("integer", "٣"),
        ("json", "NaN"),
        ("json", "[" * 9000),
    ],
)
def test_what_is_no_value_of_a_kind_is_refused_with_words(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"no (whole )?number|JSON|deeply"):
        value_of(Field("x", kind), text)


def test_an_empty_field_is_none_where_none_fits_and_needed_where_there_is_no_default() -> None:
    assert value_of(Field("x", "integer", takes_none=True), " ") is None
    with pytest.raises(ValueError, match="needed"):
        value_of(Field("x", "text", is_required=True), "")


def test_what_a_field_cannot_hold_or_must_not_change_stays_as_the_deployment_has_it() -> None:
    deployment = record(
        {"long": {"type": "string"}, "frozen": {"type": "string"}, "inner": {"type": "object"}},
        parameters={"long": "x" * 30_000, "frozen": "orders", "inner": {"password": "p-of-the-deployment"}},
        frozen=("frozen",),
    )
    fields = {field.name: field for field in fields_of(deployment, Redaction())}
    assert [fields[name].kind for name in ("long", "frozen", "inner")] == ["fixed", "fixed", "json"]
    assert fields["inner"].is_secret
    assert not fields["inner"].value
    sent = read_form(deployment, list(fields.values()), {"p.long": "y", "p.frozen": "z", "p.inner": ""})
    assert sent == ({}, {})


def test_a_default_that_is_filled_in_later_is_json_and_fits_any_type() -> None:
    later = {"__prefect_kind": "jinja", "template": "{{ now }}"}
    deployment = record({"day": {"type": "string"}}, parameters={"day": later})
    (field,) = fields_of(deployment, Redaction())
    assert field.kind == "json"
    assert read_form(deployment, [field], {"p.day": field.value}) == ({"day": later}, {})


def view(name: str) -> ScheduleView:
    return ScheduleView(ScheduleRecord(name, f"t:{name}"), name, "", "ACTIVE", [], None, [], {})


def test_an_hour_that_the_clocks_repeat_is_two_hours_of_the_calendar() -> None:
    now = datetime(2026, 11, 1, 5, tzinfo=UTC)  # 01:00 EDT in New York
    ticks = [now + timedelta(minutes=30), now + timedelta(minutes=90), now + timedelta(hours=25)]
    hours = calendar_of([(view("a"), ticks)], now, ZoneInfo("America/New_York")).hours
    assert [hour.begins for hour in hours] == [now, now + timedelta(hours=1)]
    assert [hour.entries[0].ticks[0].astimezone(UTC) for hour in hours] == ticks[:2]


def test_what_is_due_too_often_is_named_and_not_listed() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    often = [now + timedelta(minutes=minute) for minute in range(OFTEN + 1)]
    calendar = calendar_of([(view("often"), often), (view("b"), often[:2])], now)
    assert [found.name for found in calendar.often] == ["often"]
    assert [[entry.schedule.name for entry in hour.entries] for hour in calendar.hours] == [["b"]]
