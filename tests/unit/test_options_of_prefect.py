"""Options and values as scripts of Prefect give them, and what is told where they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import flow, tags, task
from orchestrator.configuration.kinds import Delays
from orchestrator.errors import ConfigurationError
from orchestrator.execution.verdicts import policy_of
from orchestrator.schedules import Cron
from orchestrator.settings import Settings, current, temporary_settings, use
from orchestrator.states import Cancelled, Failed, Running, StateType


@pytest.mark.parametrize("decorate", [task, flow])
@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"name": 5}, "name=5 must be a text"),
        ({"description": 5}, "description=5 must be a text"),
        ({"version": 3}, "version=3 must be a text"),
        ({"tags": [5]}, "tags=[5] must be a list of texts"),
        ({"on_failure": 5}, "on_failure=5 must be a list of callables"),
    ],
)
def test_an_option_of_another_type_is_told_with_its_value(
    decorate: Callable[..., Any], option: dict[str, Any], text: str
) -> None:
    with pytest.raises(TypeError) as told:
        decorate(**option)(lambda: 1)
    assert str(told.value) == text


def test_what_cannot_name_runs_and_spread_delays_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="flow_run_name=5 must be a template or a callable"):
        flow(flow_run_name=5)(lambda: 1)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="retry_jitter_factor"):
        task(retry_jitter_factor=-5)(lambda: 1)


def test_hooks_are_listed_under_prefects_names() -> None:
    made = task(on_failure=[print])(lambda: 1)
    made.on_rollback(len)
    assert (made.on_failure_hooks, made.on_rollback_hooks, made.on_completion_hooks) == ([print], [len], [])
    assert flow(on_crashed=[print])(lambda: 1).on_crashed_hooks == [print]
    with pytest.raises(AttributeError, match="on_crashed_hooks"):
        made.on_crashed_hooks  # noqa: B018


def test_a_text_is_one_tag() -> None:
    assert task(tags="nightly")(lambda: 1).tags == flow(tags="nightly")(lambda: 1).tags == {"nightly"}
    with tags("a"):
        assert flow(lambda: 1).with_options(tags=["b", "c"]).tags == {"b", "c"}


@pytest.mark.parametrize(
    ("options", "delays"),
    [
        ({}, [1.0, 10.0]),
        ({"retries": 3}, [1.0, 10.0, 10.0]),
        ({"retry_delay_seconds": 4}, [4.0, 4.0]),
        ({"retries": 1, "retry_delay_seconds": 4}, [4.0]),
        ({"retries": 0}, []),
    ],
)
def test_what_a_task_does_not_say_of_its_retries_is_as_the_settings_say(
    options: dict[str, Any], delays: list[float]
) -> None:
    made = task(**options)(lambda: 1)
    with use(Settings(task_default_retries=2, task_default_retry_delay_seconds="1,10")):  # type: ignore[arg-type]
        policy = policy_of(made.options)
    assert [policy.delay_before(index) for index in range(policy.retries)] == delays


def test_retries_of_the_settings_have_the_tasks_jitter() -> None:
    with use(Settings(task_default_retries=2, task_default_retry_delay_seconds=3)):
        policy = policy_of(task(retry_jitter_factor=0.5)(lambda: 1).options)
    assert (policy.jitter_factor, policy.delays) == (0.5, (3.0,))


@pytest.mark.parametrize(
    ("given", "taken"), [("1,10,100", (1, 10, 100)), ("[1, 2]", (1, 2)), ("5", 5), (5, 5), ([1, 2], (1, 2))]
)
def test_delays_as_people_write_them(given: Any, taken: Delays) -> None:
    assert Settings(task_default_retry_delay_seconds=given).task_default_retry_delay_seconds == taken


@pytest.mark.parametrize("given", ["soon", "1,soon", -1, "1,-1", "inf", True, "", None])
def test_what_is_no_delay_is_told(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"TASK_DEFAULT_RETRY_DELAY_SECONDS=.* is not allowed: seconds, 0 or"):
        Settings(task_default_retry_delay_seconds=given)


def test_settings_have_prefects_names() -> None:
    from orchestrator import settings

    with temporary_settings({settings.PREFECT_API_URL: "http://host:4200/api"}):
        assert (current().api_url, settings.PREFECT_API_URL.value()) == ("http://host:4200/api",) * 2
    with pytest.raises(AttributeError, match="PREFECT_HOME"):
        settings.PREFECT_HOME  # noqa: B018


def test_a_state_is_copied_as_a_model_of_pydantic_is() -> None:
    state = Running(message="at work")
    cancelled = state.copy(update={"name": "Cancelled", "type": StateType.CANCELLED})
    assert (cancelled.is_cancelled(), cancelled.name, cancelled.message) == (True, "Cancelled", "at work")
    held = ["a"]
    assert Failed(data=held).copy(deep=True).data is not held
    assert Cancelled().copy(update={"name": "Skipped"}, message="no need").message == "no need"


def test_a_flow_shows_the_schema_of_its_parameters() -> None:
    @flow
    def schleeb(x: int, y: str, z: bool | None = None) -> None: ...

    shown = schleeb.parameters
    assert (shown.required, list(shown.properties)) == (["x", "y"], ["x", "y", "z"])
    assert shown.properties["x"]["type"] == "integer"
    assert set(shown.model_dump_for_openapi()) == {"title", "type", "properties", "required"}
    assert shown.model_json_schema()["title"] == "ParameterSchema"


@pytest.mark.parametrize(
    ("timing", "text"),
    [
        ({"cron": "@daily", "interval": 60}, "interval= or cron="),
        ({"cron": "@daily", "schedule": Cron("@hourly")}, "cron= or schedule="),
        ({"rrule": "FREQ=DAILY", "schedules": [Cron("@hourly")]}, "rrule= or schedules="),
    ],
)
def test_a_deployment_is_given_its_schedules_in_one_way(timing: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"give {text}, not both"):
        flow(lambda: 1, name="one").to_deployment("nightly", **timing)
