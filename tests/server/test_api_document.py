"""The API does what its OpenAPI document says: schemathesis asks it everything that the document allows, and more."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from brokers.messages import AckKind
from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app
from tests.server.conftest import Site
from tests.support.waiting import wait_until
from tests.support.work import Work


def examples(count: int) -> settings:
    """So many of each operation and mode, the same in every run."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


TOO_LARGE = 413  # whatever else is wrong with it; schemathesis does not count that among refusals
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


def takes_something(operation: dict[str, Any]) -> bool:
    """Whether anything can be wrong about what is sent."""
    return "requestBody" in operation or any(part["in"] == "query" for part in operation.get("parameters", ()))


@pytest.mark.timeout(600)  # every operation is asked a dozen times, on a machine that may be busy
def test_the_api_keeps_to_its_document(own_fleet: Fleet, work: Work, thorough: bool) -> None:
    work.submit_many(20, tags=("red",), flow="flow-1")
    work.run(AckKind.FAILED, most=5)
    work.run(AckKind.DEAD, most=5)
    own_fleet.broker.flow_runs.write(
        "flow-1", {"flow": "nightly", "name": "one", "type": "RUNNING", "state": "Running"}
    )
    site = Site(make_app(own_fleet))
    try:
        wait_until(lambda: site.queries.index.state().runs == 20)
        schema = schemathesis.openapi.from_url(f"{site.url}/api/openapi.json")
        tried = {GenerationMode.POSITIVE: 0, GenerationMode.NEGATIVE: 0}
        for operation in (found.ok() for found in schema.get_all_operations()):
            for mode in tried:
                if mode is GenerationMode.NEGATIVE and not takes_something(operation.definition.raw):
                    continue

                @examples(6 if thorough else 2)
                @given(case=operation.as_strategy(generation_mode=mode))
                def ask(case: schemathesis.Case) -> None:
                    tried[mode] += 1  # noqa: B023  # it is asked in this round
                    response = case.call(base_url=site.url, timeout=30)
                    if response.status_code != TOO_LARGE:
                        case.validate_response(response, checks=CHECKS)

                ask()
        assert tried[GenerationMode.POSITIVE] > 60
        assert tried[GenerationMode.NEGATIVE] > 20
    finally:
        site.close()


def test_every_operation_is_told_once_and_has_a_name(own_fleet: Fleet) -> None:
    site = Site(make_app(own_fleet))
    try:
        with site.client() as client:
            told = client.get("/api/openapi.json").json()
            page = client.get("/api/docs")
        assert told["openapi"] == "3.1.0"
        operations = [operation for path in told["paths"].values() for operation in path.values()]
        names = [operation["operationId"] for operation in operations]
        assert len(set(names)) == len(names) > 30
        assert "<script" not in page.text
        assert "style=" not in page.text
        assert all(path in page.text for path in told["paths"])
    finally:
        site.close()
