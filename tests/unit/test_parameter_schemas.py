"""Parameters as a JSON schema, and what of a run's parameters fits it."""

from __future__ import annotations

from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from orchestrator import flow
from orchestrator.blocks.contents import Contents
from orchestrator.blocks.drafting import misfits as misfits_of_blocks
from orchestrator.deployments import freeze
from orchestrator.deployments.parameter_schema import check_parameters, misfits, plain_parameters, schema_of
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.run_parameters import parameters_for_run
from orchestrator.deployments.schema_checks import first_error
from orchestrator.errors import ParameterBindError, ParameterTypeError, PayloadTooLarge
from orchestrator.runnables.binding import Signature

LOOPS, ENDS = "{% for a in range(1000) %}" * 4, "{% endfor %}" * 4


class Place(BaseModel):
    city: str
    floor: int = 0


def report(place: Place, day: date, *, days: int = 3, anything: Any = None) -> None:
    """Make a report.

    Args:
        place: where,
            in words.
        days (int): how many.
    """


SCHEMA = schema_of(Signature(report), report.__doc__)


def record(**fields: Any) -> DeploymentRecord:
    return DeploymentRecord("1", "nightly", "etl", parameter_schema=SCHEMA, **fields)


def test_a_schema_has_types_defaults_descriptions_and_the_order() -> None:
    properties = SCHEMA["properties"]
    assert list(properties) == ["place", "day", "days", "anything"]
    assert [properties[name]["position"] for name in properties] == [0, 1, 2, 3]
    assert properties["place"]["description"] == "where, in words."
    assert properties["days"] == {
        "default": 3,
        "description": "how many.",
        "position": 2,
        "title": "days",
        "type": "integer",
    }
    assert properties["day"]["format"] == "date"
    assert SCHEMA["required"] == ["place", "day"]
    assert properties["place"]["required"] == ["city"]


def test_models_and_moments_become_plain_values_and_are_checked_inside() -> None:
    given = {"place": Place(city="Oslo"), "day": date(2026, 1, 2)}
    assert parameters_for_run(record(), given) == {"place": {"city": "Oslo", "floor": 0}, "day": "2026-01-02"}
    with pytest.raises(ParameterTypeError, match=r"'place' does not fit: floor: 'high' is not of type 'integer'"):
        check_parameters(SCHEMA, {"place": {"city": "Oslo", "floor": "high"}}, "it")


def test_what_is_missing_or_unknown_is_named() -> None:
    with pytest.raises(ParameterBindError, match="'day' is missing"):
        parameters_for_run(record(), {"place": {"city": "Oslo"}})
    with pytest.raises(ParameterBindError, match="no parameter 'city'; its parameters: place, day, days, anything"):
        parameters_for_run(record(), {"city": "Oslo"})
    parameters_for_run(record(enforce_parameter_schema=False), {"city": "Oslo"})


def test_what_is_frozen_stays() -> None:
    @flow
    def frozen(table: str) -> None: ...

    made = frozen.to_deployment("x", parameters={"table": freeze("orders")})
    assert (made.parameters, made.frozen) == ({"table": "orders"}, ("table",))
    kept = DeploymentRecord("1", "x", "frozen", parameters={"table": "orders"}, frozen=("table",))
    with pytest.raises(ParameterBindError, match="frozen at 'orders'"):
        parameters_for_run(kept, {"table": "customers"})


def test_values_are_filled_in_when_the_run_is_made() -> None:
    wants = {"anything": {"__prefect_kind": "jinja", "template": "{{ deployment.name }}"}}
    given = {"place": {"city": "Oslo"}, "day": "2026-01-02", "days": {"__orchestrator_kind": "json", "value": "7"}}
    assert parameters_for_run(record(parameters=wants), given) == {**given, "days": 7, "anything": "nightly"}
    for value, words in (
        ({"__prefect_kind": "json", "value": "{"}, "from JSON"),
        ({"__prefect_kind": "jinja", "template": "{{ a.b.c }}"}, "template"),
        ({"__prefect_kind": "jinja", "template": "{{ ''.__class__.__mro__ }}"}, "template"),
        ({"__prefect_kind": "jinja", "template": "{{ 'a' * 10**10 }}"}, "template"),
        ({"__prefect_kind": "jinja", "template": "{% set a = 'a' %}" + "{% set a = a ~ a %}" * 40}, "larger than"),
        ({"__prefect_kind": "jinja", "template": f"{LOOPS}{{{{ 'a' }}}}{ENDS}"}, "larger than|longer than"),
        ({"__prefect_kind": "jinja", "template": f"{LOOPS}{ENDS}"}, "longer than"),
        ({"__prefect_kind": "workspace_variable", "variable_name": "x"}, "none of that name"),
        ({"__prefect_kind": "wish"}, "'wish'"),
    ):
        with pytest.raises(ParameterTypeError, match=words):
            parameters_for_run(record(), {**given, "anything": value})


def test_large_parameters_are_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="524,288"):
        parameters_for_run(record(), {"anything": "x" * 600_000})


class Login(BaseModel):
    password: SecretStr


@pytest.mark.parametrize("value", [SecretStr("abc"), Login(password=SecretStr("abc")), {"all": [SecretStr("abc")]}])
def test_a_secret_that_would_become_stars_is_refused(value: Any) -> None:
    with pytest.raises(
        ParameterTypeError, match=r"'login' cannot be kept: pydantic writes its secret as '\*"
    ) as caught:
        plain_parameters({"login": value})
    assert "abc" not in str(caught.value)


def test_a_secret_is_no_default_of_a_form() -> None:
    key = SecretStr("abc")

    def fetch(key: SecretStr = key) -> None: ...

    assert "default" not in schema_of(Signature(fetch))["properties"]["key"]


def test_an_unknown_option_of_a_deployment_is_named() -> None:
    with pytest.raises(TypeError, match="no option 'work_pool'"):
        flow(report).to_deployment("x", work_pool="a")


def test_a_secret_that_does_not_fit_is_not_in_the_message() -> None:
    schema = {
        "properties": {"api_token": {"type": "integer"}, "login": {"type": "string"}, "days": {"type": "integer"}}
    }
    found = misfits(schema, {"api_token": "s3cret", "login": {"password": "s3cret"}, "days": "many"})
    assert found == {
        "api_token": "its value, which is not shown, does not fit type 'integer'",
        "login": "its value, which is not shown, does not fit type 'string'",
        "days": "'many' is not of type 'integer'",
    }


@pytest.mark.parametrize("where", ["http", "file"])
def test_a_schema_that_refers_to_elsewhere_is_not_fetched(where: str, tmp_path: Path) -> None:
    asked: list[str] = []
    (tmp_path / "secret.json").write_text('{"const": "what is in the file"}')

    class Inside(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"const": "what is inside"}')

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Inside) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/x" if where == "http" else (tmp_path / "secret.json").as_uri()
        fields = {"properties": {"a": {"$ref": address}}}
        assert misfits(fields, {"a": 5}) == {}
        assert misfits_of_blocks(fields, Contents({"a": 5}), set()) == {}
        server.shutdown()
    assert asked == []


def test_a_schema_refers_to_its_own_definitions() -> None:
    fields = {"properties": {"a": {"$ref": "#/definitions/Day"}}, "definitions": {"Day": {"type": "string"}}}
    assert misfits(fields, {"a": 5}) == {"a": "5 is not of type 'string'"}
    assert misfits_of_blocks(fields, Contents({"a": 5}), set()) == {"a": "must be of the type string"}


def test_a_pattern_takes_no_more_time_than_its_text_is_long() -> None:
    evil, text = "^(a+)+$", "a" * 200 + "!"
    named = {"patternProperties": {evil: {"type": "integer"}}, "additionalProperties": False}
    fields = {
        "properties": {"a": {"pattern": evil}, "b": named, "c": {"pattern": "^[a-z]+$"}, "d": {"pattern": "(?=x)"}}
    }
    found = misfits(fields, {"a": text, "b": {text: 1, "aa": "x"}, "c": "Oslo", "d": "y"})
    assert found == {
        "a": f"'{text}' does not match '{evil}'"[:300],
        "b": "aa: 'x' is not of type 'integer'",
        "c": "'Oslo' does not match '^[a-z]+$'",
    }
    closed = {"type": "object", "properties": {"x": {}}, "additionalProperties": False}
    assert list(misfits({"properties": {"a": closed}}, {"a": {"y": 1}})) == ["a"]


DRAFT_4 = "http://json-schema.org/draft-04/schema#"


def test_a_part_of_a_schema_that_names_a_dialect_is_checked_like_the_rest() -> None:
    evil = {"$schema": DRAFT_4, "pattern": "^(a+)+(?=x)$"}  # which Python would go on with for years
    assert first_error({"properties": {"a": evil}, "items": [evil]}, {"a": "a" * 200 + "!"}) is None


class Discounted(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"$schema": DRAFT_4, "dependencies": {"coupon": {"required": ["reason"]}}}
    )
    subject: str
    coupon: str | None = None
    reason: str | None = None


def test_a_field_that_another_one_requires_is_asked_for_before_a_run_is_made() -> None:
    def mail(content: Discounted) -> None: ...

    schema = schema_of(Signature(mail))
    check_parameters(schema, {"content": {"subject": "a"}}, "mail")
    check_parameters(schema, {"content": {"subject": "a", "coupon": "b", "reason": "c"}}, "mail")
    with pytest.raises(ParameterTypeError, match="'reason' is a required property"):
        check_parameters(schema, {"content": {"subject": "a", "coupon": "b"}}, "mail")
