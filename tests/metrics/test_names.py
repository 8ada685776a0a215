"""The names of metrics: what dashboards and alerts ask for is what workers and the server tell, and is documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.client.fleet import Fleet
from orchestrator.observability.metrics import fleet_page, worker_page
from orchestrator.observability.metrics.cells import Counted
from orchestrator.observability.metrics.readings import Places, WorkerReading
from tests.support import app_for_workers as app

pytestmark = pytest.mark.needs_server
ROOT = Path(__file__).parents[2]
NAME = re.compile(r"orchestrator_[a-z_]+")


@pytest.fixture
def page(fleet: Fleet) -> str:
    """A worker's page that has at least one sample of everything."""
    fleet.cancel([app.add.delay(1, 2).run_id])
    call = ("shop.sell", "default")
    places = {"sync": Places(1, 2), "async": Places(0, 200)}
    reading = WorkerReading("oven", "1", {call: Counted()}, places, 1, 1, 0, 1.0)
    body, content_type = worker_page(fleet, reading)
    assert content_type.startswith("text/plain")
    return body.decode()


@pytest.fixture
def told(page: str) -> dict[str, set[str]]:
    """The names of all samples, with their labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> Iterator[str]:
    """What is asked of Prometheus anywhere in the repository."""
    board = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    for group in yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for made in yaml.safe_load_all((ROOT / "deploy/k8s/autoscaling.yaml").read_text()):
        yield from (
            trigger["metadata"]["query"] for trigger in made["spec"]["triggers"] if "query" in trigger["metadata"]
        )


def test_everything_that_is_asked_for_is_told(told: dict[str, set[str]]) -> None:
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 15
    assert asked - told.keys() == set()


def test_labels_in_expressions_are_labels_of_these_metrics(told: dict[str, set[str]]) -> None:
    for expression in expressions():
        names = set(NAME.findall(expression))
        labels = {label for group in re.findall(r"(?:by|on) \(([a-z, ]+)\)", expression) for label in group.split(", ")}
        labels |= set(re.findall(r"([a-z]+)=~?\"", expression))
        known = set.union(*(told[name] for name in names))
        assert labels <= known, expression


def test_every_metric_is_in_the_documentation_and_nothing_else_is(told: dict[str, set[str]]) -> None:
    documented = set(NAME.findall((ROOT / "docs" / "metrics.md").read_text()))
    base = {re.sub(r"_(bucket|count|sum)$", "", name) for name in told}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in documented} == base


def test_figures_of_the_fleet_are_the_same_from_any_page(fleet: Fleet, told: dict[str, set[str]]) -> None:
    body, _ = fleet_page(fleet)
    families = list(text_string_to_metric_families(body.decode()))
    assert {sample.name for family in families for sample in family.samples} <= told.keys()
    by_name: dict[str, Any] = {family.name: family for family in families}
    assert [sample.value for sample in by_name["orchestrator_store_up"].samples] == [1.0]


def test_a_scraper_may_ask_for_openmetrics(fleet: Fleet) -> None:
    body, content_type = fleet_page(fleet, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_the_data_source_of_the_dashboard_is_the_one_that_compose_provides() -> None:
    board = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
    (provided,) = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    (variable,) = [one for one in board["templating"]["list"] if one["type"] == "datasource"]
    assert variable["query"] == provided["type"]
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert provided["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
    (provider,) = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/orchestrator.yml").read_text())[
        "providers"
    ]
    mounted = [volume for volume in compose["grafana"]["volumes"] if "dashboard.json" in volume]
    assert mounted[0].split(":")[1].startswith(provider["options"]["path"] + "/")


def test_panels_do_not_overlap_and_have_a_title_and_a_unit() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        taken |= cells


def test_every_alert_says_what_it_means_and_how_urgent_it_is() -> None:
    (group,) = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].strip()
    assert {
        "OrchestratorStoreDown",
        "OrchestratorNoWorkers",
        "OrchestratorDeadLetters",
        "OrchestratorQueuePaused",
    } <= set(names)
