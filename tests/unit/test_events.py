"""Events as values: names with either prefix, what an event must have, patterns of labels."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from uuid import UUID

import pytest

from brokers.facets.events import StoredEvent
from orchestrator.errors import PayloadTooLarge
from orchestrator.events import Event, RelatedResource, Resource, ResourceSpecification
from orchestrator.events.interest import EVERYTHING, Interest, interest_in
from orchestrator.events.stored import MAX_EVENT_BYTES, event_from, stored_from

ORDER = {"prefect.resource.id": "shop.order.7"}
FLOW_RUNS_ONLY = Interest(flow_runs=True, task_runs=False, others=False)


def test_either_prefix_is_the_same() -> None:
    event = Event(
        event="orchestrator.flow-run.Failed", resource={"orchestrator.resource.id": "orchestrator.flow-run.1"}
    )
    assert event.event == "prefect.flow-run.Failed"
    assert event.resource["orchestrator.resource.id"] == "orchestrator.flow-run.1"
    assert ResourceSpecification({"orchestrator.resource.id": "prefect.flow-run.*"}).matches(event.resource)


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        ({}, "needs the label prefect.resource.id"),
        ({"prefect.resource.id": ""}, "needs the label prefect.resource.id"),
        ({"prefect.resource.id": "x"} | {str(n): "" for n in range(500)}, "500 labels at most"),
    ],
)
def test_what_can_be_no_resource_is_refused_and_says_why(labels: dict[str, str], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Resource(labels)


def test_what_can_be_no_event_is_refused_and_says_why() -> None:
    with pytest.raises(ValueError, match=r"prefect\.resource\.role"):
        RelatedResource(ORDER)
    with pytest.raises(ValueError, match="100 related resources at most"):
        Event(event="a", resource=ORDER, related=[{**ORDER, "prefect.resource.role": "x"}] * 101)
    with pytest.raises(ValueError, match="at least 1 character"):
        Event(event="", resource=ORDER)
    with pytest.raises(ValueError, match="is no JSON"):
        stored_from(Event(event="a", resource=ORDER, payload={"what": object()}))


def test_an_event_above_the_limit_says_how_large_it_is_and_may_be() -> None:
    event = Event(event="a.b", resource=ORDER, payload={"text": "x" * MAX_EVENT_BYTES})
    with pytest.raises(PayloadTooLarge, match=r"'a.b' has 524,\d+ bytes, more than the 524,288"):
        stored_from(event)


def test_an_event_comes_back_as_it_was() -> None:
    event = Event(
        event="shop.order.paid",
        resource=ORDER,
        related=[{**ORDER, "prefect.resource.role": "order", "name": "half \ud83d"}],
        payload={"nan": math.nan, "when": datetime(2026, 1, 2, tzinfo=UTC), "deep": [{"x": 1}], "half": "\ud83d"},
        follows=UUID(int=7),
    )
    found = event_from(stored_from(event), "1700000000000-1", 0)
    assert found is not None
    assert (found.id, found.event, found.resource, found.follows) == (
        event.id,
        event.event,
        event.resource,
        UUID(int=7),
    )
    assert found.occurred == event.occurred
    assert found.received == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.payload == {"nan": None, "when": "2026-01-02T00:00:00Z", "deep": [{"x": 1}], "half": r"\ud83d"}
    plain = event_from(stored_from(Event(event="a", resource=ORDER, payload={"x": math.inf})), "1-0", 0)
    assert plain is not None
    assert plain.payload == {"x": None}


def test_a_moment_without_a_zone_is_in_utc() -> None:
    assert Event(event="a", resource=ORDER, occurred=datetime(2026, 1, 1)).occurred == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "stored",
    [
        None,
        StoredEvent("", ORDER),
        StoredEvent("a", {}),
        StoredEvent("a", ORDER, [{}]),
        StoredEvent("a", ORDER, id="none"),
        StoredEvent("a", ORDER, follows="none"),
        StoredEvent("a", ORDER, occurred=1e300),
    ],
)
def test_a_damaged_event_is_none(stored: StoredEvent | None) -> None:
    assert event_from(stored, "1-0", 0) is None


@pytest.mark.parametrize("payload", [b"\xff", b"{", b"[" * 100_000])
def test_a_damaged_payload_costs_itself(payload: bytes) -> None:
    found = event_from(StoredEvent("a", ORDER, (), payload), "1-0", 0)
    assert found is not None
    assert "damaged" in found.payload["unreadable"]


def test_an_event_without_an_id_has_the_same_one_whoever_reads_it() -> None:
    stored = StoredEvent("a", ORDER)
    first, again, next_one = (event_from(stored, "5-0", place) for place in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert next_one is not None
    assert first.id == again.id != next_one.id


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        ([], EVERYTHING),
        (["prefect.flow-run.*"], FLOW_RUNS_ONLY),
        (["orchestrator.flow-run.Failed", "prefect.flow-run.Crashed"], FLOW_RUNS_ONLY),
        (["prefect.task-run.Failed"], Interest(flow_runs=False, task_runs=True, others=False)),
        (["shop.*"], Interest(flow_runs=False, task_runs=False, others=True)),
        (["*"], EVERYTHING),
        (["prefect.f*"], Interest(flow_runs=True, task_runs=False, others=True)),
        (["!prefect.flow-run.Failed"], EVERYTHING),
    ],
)
def test_patterns_say_which_records_are_worth_reading(patterns: list[str], wanted: Interest) -> None:
    assert interest_in(patterns) == wanted


def test_related_resources_are_found_by_their_role() -> None:
    related = [{"prefect.resource.id": f"tag.{n}", "prefect.resource.role": "tag", "n": str(n)} for n in (1, 2)]
    event = Event(event="a", resource=ORDER, related=related)
    assert event.resource_in_role["tag"].id == "tag.1"
    assert [one.id for one in event.resources_in_role["tag"]] == ["tag.1", "tag.2"]
    assert event.find_resource_label("related:tag:n") == "1"
    assert [one.id for one in event.involved_resources] == ["shop.order.7", "tag.1", "tag.2"]
