"""Triggers and actions as values: what Prefect takes is taken, what cannot be is refused with a sentence."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.automations.matching import covers, key_of, wants
from orchestrator.automations.seen_event import SeenEvent
from orchestrator.automations.templates import check_template, render, value_of
from orchestrator.events.actions import (
    CancelFlowRun,
    ChangeFlowRunState,
    PauseDeployment,
    RunDeployment,
    SendNotification,
)
from orchestrator.events.schemas.automations import (
    AutomationCore,
    CompoundTrigger,
    EventTrigger,
    MetricTrigger,
    Posture,
    SequenceTrigger,
    automation_of,
)
from orchestrator.events.schemas.deployment_triggers import DeploymentCompoundTrigger, DeploymentEventTrigger

FAILED = "prefect.flow-run.Failed"


def event(name: str = FAILED, resource: dict[str, str] | None = None, *related: dict[str, str]) -> SeenEvent:
    return SeenEvent("1", name, resource or {"prefect.resource.id": "prefect.flow-run.1"}, related)


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ({"posture": "Metric"}, "metric triggers are not supported"),
        ({"posture": "Proactive", "within": 3}, "at least 10 seconds"),
        ({"triggers": [{"expect": ["a"]}], "require": 2}, "require is 1 to 1"),
        ({"triggers": [], "require": "any"}, "at least 1 item"),
        ({"threshold": 0}, "greater than or equal to 1"),
        ({"within": -1}, "greater than or equal to 0"),
        ({"type": "nonsense"}, "nonsense"),
    ],
)
def test_a_trigger_that_cannot_be_is_refused_with_the_reason(trigger: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AutomationCore(name="a", trigger=trigger, actions=[])


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"type": "run-deployment", "source": "selected"}, "deployment_id is required"),
        ({"type": "run-deployment", "source": "inferred", "deployment_id": str(uuid.uuid4())}, "not allowed"),
        ({"type": "declare-incident"}, "Prefect Cloud only"),
        ({"type": "change-flow-run-state", "state": "COMPLETED"}, "cannot be made 'COMPLETED' from outside"),
        ({"type": "send-notification", "body": "x"}, "block_document_id"),
        ({"type": "explode"}, "explode"),
    ],
)
def test_an_action_that_cannot_be_is_refused_with_the_reason(action: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AutomationCore(name="a", trigger={}, actions=[action])


def test_automations_come_back_from_json_as_they_were() -> None:
    block = uuid.uuid4()
    made = AutomationCore(
        name="a",
        trigger=CompoundTrigger(
            require="all",
            within=60,
            triggers=[
                EventTrigger(
                    expect={FAILED}, for_each={"prefect.resource.id"}, threshold=2, within=timedelta(minutes=1)
                ),
                SequenceTrigger(triggers=[EventTrigger(after={"x"}), EventTrigger(posture=Posture.Proactive)]),
            ],
        ),
        actions=[
            CancelFlowRun(),
            RunDeployment(deployment_id="etl/nightly", parameters={"a": "{{ event.id }}"}, schedule_after=5),
            SendNotification(block_document_id=str(block), body="b"),
            PauseDeployment(source="inferred"),
            ChangeFlowRunState(state="cancelled"),
        ],
    )
    assert AutomationCore.model_validate_json(made.model_dump_json()) == made
    assert made.actions[2].block_document_id == block  # type: ignore[union-attr]


def test_names_and_numbers_stand_for_what_prefect_wants() -> None:
    trigger = EventTrigger(expect=FAILED, within=90)  # type: ignore[arg-type]
    assert trigger.expect == {FAILED}
    assert trigger.within == timedelta(seconds=90)
    assert EventTrigger(posture="Proactive").within == timedelta(seconds=10)


def test_a_metric_trigger_is_refused_where_it_is_made() -> None:
    with pytest.raises(ValidationError, match="use an EventTrigger"):
        MetricTrigger(metric={"name": "duration", "operator": ">", "threshold": 1})


def test_a_trigger_of_a_deployment_makes_the_automation_that_runs_it() -> None:
    deployment = uuid.uuid4()
    for trigger in (
        DeploymentEventTrigger(name="n", expect={FAILED}, parameters={"a": 1}, enabled=False),
        DeploymentCompoundTrigger(name="n", require="any", triggers=[{"expect": ["x"]}], parameters={"a": 1}),
    ):
        trigger.set_deployment_id(deployment)
        made = automation_of(trigger)
        assert (made.name, made.owner_resource) == ("n", f"prefect.deployment.{deployment}")
        (action,) = made.actions
        assert isinstance(action, RunDeployment)
        assert (action.deployment_id, action.parameters) == (deployment, {"a": 1})
        assert type(made.trigger) in (EventTrigger, CompoundTrigger)


# -- matching ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wanted"),
    [(FAILED, True), ("orchestrator.flow-run.Failed", True), ("prefect.flow-run.Completed", False), ("", False)],
)
def test_names_fit_with_either_prefix(name: str, wanted: bool) -> None:
    assert wants(EventTrigger(expect={"orchestrator.flow-run.F*"}), name) is wanted


FLOW = {"prefect.resource.id": "prefect.flow.9", "prefect.resource.name": "etl", "prefect.resource.role": "flow"}
TAG = {"prefect.resource.id": "prefect.tag.prod", "prefect.resource.role": "tag"}


@pytest.mark.parametrize(
    ("match", "related", "fits"),
    [
        ({}, {}, True),
        ({"prefect.resource.id": "prefect.flow-run.*"}, {}, True),
        ({"prefect.resource.id": ["x", "prefect.flow-run.1"]}, {}, True),
        ({"prefect.resource.id": "!prefect.flow-run.1"}, {}, False),
        ({"absent": "!x"}, {}, False),  # as in Prefect: what is not there does not fit
        ({}, {"prefect.resource.role": "flow", "prefect.resource.name": "e*"}, True),
        ({}, {"prefect.resource.role": "tag", "prefect.resource.name": "etl"}, False),  # of one resource
        ({}, [{"prefect.resource.role": "flow"}, {"prefect.resource.id": "prefect.tag.prod"}], True),
        ({}, [{"prefect.resource.role": "flow"}, {"prefect.resource.id": "prefect.tag.dev"}], False),
    ],
)
def test_resources_fit_by_their_labels(match: Any, related: Any, fits: bool) -> None:
    assert covers(EventTrigger(match=match, match_related=related), event(FAILED, None, FLOW, TAG)) is fits


def test_events_are_counted_apart_by_labels_also_of_related_resources() -> None:
    trigger = EventTrigger(for_each={"related:flow:prefect.resource.name", "prefect.resource.id", "nothing"})
    assert key_of(trigger, event(FAILED, None, TAG, FLOW)) == ("", "prefect.flow-run.1", "etl")


# -- templates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ 'a' * 10**9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'a'.center(10**9) }}",
        "{{ nothing.at.all }}",
        "{{ 1 / 0 }}",
        "{% include '/etc/passwd' %}",
        "{{ unclosed",
        "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
    ],
)
def test_a_template_that_fails_is_told_in_its_text(template: str) -> None:
    text = render(template, {"x": [1]})
    assert text.startswith("Failed to render template: ")
    assert text.endswith(template)


TENFOLD = "[a, a, a, a, a, a, a, a, a, a]"


@pytest.mark.parametrize(
    "template",
    [
        "{% set a = 'x' %}" + "{% set a = a ~ a %}" * 40 + "{{ a|length }}",
        "{% set a = 'x' %}" + "{% set a = a + a %}" * 40 + "{{ a|length }}",
        "{% set a = 'x' %}" + f"{{% set a = {TENFOLD} %}}" * 12 + "{{ a }}",
        "{% set a = 'x' %}" + f"{{% set a = {TENFOLD} %}}" * 12 + "{{ a|string|length }}",
        "{% set a = range(1000)|join('xxxxxxxxxx') %}{% set b = range(1000)|join(a) %}{{ range(1000)|join(b)|length }}",
        "{{ 'aaaaaaaaaa'" + "|replace('a', 'aaaaaaaaaaaaaaaaaaaa')" * 9 + "|length }}",
        "{{ 'aaaaaaaaaa'" + ".replace('a', 'aaaaaaaaaaaaaaaaaaaa')" * 9 + "|length }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
        "{% for a in x %}{% for b in x %}{% endfor %}{% endfor %}",
    ],
)
def test_a_template_takes_neither_all_memory_nor_all_time(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.deployments.template_sandbox.LONGEST_SECONDS", 0.5)
    text = render(template, {"x": list(range(50_000))})
    assert re.match(
        r"Failed to render template: ValueError: (a value becomes larger|it takes longer|.* no macros)", text
    )


def test_what_is_measured_does_what_jinja2_does() -> None:
    context = {"x": {"name": "banana", "list": [1, 2]}, "all": [{"name": "a"}, {"name": "b"}]}
    template = (
        "{{ 'a' ~ 1 ~ none }} {{ 'a' + 'b' }} {{ 1 + 2 }} {{ x.name.replace('a', 'o', 1) }} "
        "{{ x.name|replace('a', '') }} "
        "{% for each in all %}{{ loop.index }}/{{ loop.length }} {% else %}none{% endfor %}"
        "{{ x.list|join(', ') }} {{ all|join('-', attribute='name') }} {{ x.list|tojson }} {{ nothing ~ 'b' }}"
    )
    assert render(template, context) == "a1None ab 3 bonana bnn 1/2 2/2 1, 2 a-b [1, 2] b"


def test_a_template_makes_so_much_text_and_no_more() -> None:
    text = render("{% for a in range(10**6) %}{% for b in range(10**6) %}{{ a }}{% endfor %}{% endfor %}", {})
    assert len(text) < 70_000
    assert "cut off" in text


def test_a_parameter_keeps_its_type_and_gets_no_error_for_a_value() -> None:
    context = {"event": {"payload": {"day": 3, "list": [1]}}}
    wanted = {"day": 3, "text": "day 3", "list": [1], "plain": "x"}
    given = {
        "day": "{{ event.payload.day }}",
        "text": "day {{ event.payload.day }}",
        "list": "{{ event.payload.list }}",
    }
    assert value_of({**given, "plain": "x"}, context) == wanted
    with pytest.raises(ValueError, match="fails"):
        value_of("{{ event.nothing.at.all }}", context)


@pytest.mark.parametrize(
    "value",
    [
        {"__prefect_kind": "workspace_variable", "variable_name": "x"},
        {"__orchestrator_kind": "jinja", "template": "{{ now }}"},
        {"$ref": {"block_document_id": "24de1505-3232-53ca-b3c2-7a2308af766c"}},
    ],
)
@pytest.mark.parametrize("template", ["{{ x }}", "{{ [x] }}", "{{ (1, x) }}", "{{ {'a': [x]} }}"])
def test_what_an_event_brings_is_never_filled_in(value: dict[str, Any], template: str) -> None:
    with pytest.raises(ValueError, match="would itself be filled in"):
        value_of({"a": template}, {"x": value})


def test_a_template_that_is_none_is_refused_when_it_is_written_down() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        check_template("{% if %}")
    with pytest.raises(ValueError, match="at most 20,000"):
        check_template("x" * 20_001)


def test_triggers_and_actions_are_where_prefect_has_them() -> None:
    from orchestrator import automations, events

    assert events.EventTrigger is EventTrigger
    assert events.DeploymentEventTrigger is DeploymentEventTrigger
    assert events.SendNotification is SendNotification
    assert (automations.EventTrigger, automations.SendNotification) == (EventTrigger, SendNotification)
    with pytest.raises(AttributeError):
        events.Nonsense  # noqa: B018
