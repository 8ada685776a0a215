"""Live and ready, as Kubernetes and Compose ask for them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import ConfigurationError
from task_workers.celery.command import celery_worker
from task_workers.health import health as worker_health
from task_workers.health.health import WorkerHealth
from task_workers.health.probe_server import ProbeServer, json_answer
from task_workers.options import WorkerOptions
from tests.support import app_for_workers as app
from tests.support.scraping import address_of, asked, probed, scraped, value_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess, clean_environment, wait_note

pytestmark = [pytest.mark.behaviour, pytest.mark.needs_server]
APP = ("-A", "tests.support.app_for_workers", "-c", "1")


def test_a_worker_is_ready_when_its_child_is_and_not_any_more_while_it_stops(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", "--health-port", "0", ready=1)
    live, ready = address_of(worker, "/live"), address_of(worker, "/ready")
    wait_until(lambda: probed(ready)[0] == 200, 20, "it is ready")
    status, facts = probed(live)
    assert (status, facts["live"]) == (200, True)
    running = app.wait_for_sign.delay(str(tmp_path), "last")
    wait_note(tmp_path, "last begins")
    worker.terminate()
    wait_until(lambda: probed(ready)[0] == 503, 20, "it says that it stops")
    assert probed(ready)[1]["stopping"] is True
    assert probed(live)[0] == 200
    (tmp_path / "go").touch()
    assert worker.wait() == 0
    assert running.result(timeout=60) == "last"


def test_a_worker_whose_store_is_away_is_live_and_not_ready_and_says_so_in_its_figures(
    own_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = own_server()
    environment = clean_environment(ORCHESTRATOR_REDIS_URL=server.url)
    worker = WorkerProcess(tmp_path / "log", environment, *APP, "--health-port", "0", "--metrics-port", "0")
    try:
        live, ready, metrics = (address_of(worker, path) for path in ("/live", "/ready", "/metrics"))
        wait_until(lambda: probed(ready)[0] == 200, 40, "it is ready")
        server.kill()
        wait_until(lambda: probed(ready)[0] == 503, 20, "it misses the store")
        status, facts = probed(ready)
        assert (status, facts["store"], facts["awake"]) == (503, False, 1)
        assert probed(live)[0] == 200
        page = scraped(metrics)
        assert value_of(page, "orchestrator_store_up") == 0
        assert value_of(page, "orchestrator_worker_up") == 1
        server.start()
        wait_until(lambda: probed(ready)[0] == 200, 40, "it is ready again")
        assert value_of(scraped(metrics), "orchestrator_store_up") == 1
    finally:
        worker.close()


def test_a_frozen_child_is_not_awake(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", "--health-port", "0", ready=1)
    ready = address_of(worker, "/ready")
    wait_until(lambda: probed(ready)[0] == 200, 20, "it is ready")
    os.kill(worker.children()[0], signal.SIGSTOP)
    try:
        wait_until(lambda: probed(ready)[0] == 503, 30, "its child shows no life")
        assert probed(ready)[1]["awake"] == 0
    finally:
        os.kill(worker.children()[0], signal.SIGCONT)
    wait_until(lambda: probed(ready)[0] == 200, 30, "it is awake again")


def test_a_supervisor_that_loops_no_more_is_not_live(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    signs = WorkerHealth(fleet, WorkerOptions(("shop",)), lambda: (), lambda: False)
    signs.note_loop()
    assert signs.live()[0] is True
    monkeypatch.setattr(worker_health, "LIVE_SECONDS", 0.0)
    well, facts = signs.live()
    assert (well, facts["live"], json_answer(well, facts).status) == (False, False, 503)


def test_one_port_may_serve_both_and_another_path_says_what_there_is(fleet: Fleet) -> None:
    options = WorkerOptions(("shop",), metrics_port=0, health_port=0)
    assert [probe_server.paths for probe_server in signs_of(fleet, options).probe_servers()] == [
        ["/live", "/ready"],
        ["/metrics"],
    ]
    probe_server = ProbeServer("127.0.0.1", 0, {"/live": lambda accept: json_answer(True, {})})
    probe_server.open()
    status, text = asked(probe_server.url + "/other")
    assert (status, text) == (404, "here are: /live\n")
    probe_server.close()


def test_an_address_may_be_one_of_ipv6() -> None:
    try:
        probe_server = ProbeServer("::1", 0, {"/live": lambda accept: json_answer(True, {"live": True})})
    except ConfigurationError:
        pytest.skip("no IPv6 on this machine")
    probe_server.open()
    assert probe_server.url.startswith("http://[::1]:")
    assert probed(probe_server.url + "/live") == (200, {"live": True})
    probe_server.close()


def signs_of(fleet: Fleet, options: WorkerOptions) -> WorkerHealth:
    return WorkerHealth(fleet, options, lambda: (), lambda: False)


def test_figures_without_their_library_end_the_worker_with_the_command_that_helps(
    worker_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('not installed here')\n")
    environment = {**worker_environment, "PYTHONPATH": str(tmp_path)}
    worker = WorkerProcess(tmp_path / "log", environment, *APP, "--metrics-port", "0")
    try:
        assert worker.wait() == 1
        assert "pip install 'orchestrator[metrics]'" in worker.output
        assert "Traceback" not in worker.output
    finally:
        worker.close()


def test_a_celery_worker_says_that_it_has_no_such_ports() -> None:
    with pytest.raises(ConfigurationError, match="orchestrator check --workers"):
        celery_worker(WorkerOptions(("shop",), health_port=0))


def test_a_port_that_is_taken_ends_the_worker_with_one_line(
    fleet: Fleet, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    taken = ProbeServer("127.0.0.1", 0, {})
    port = taken.url.rpartition(":")[2]
    worker = WorkerProcess(tmp_path / "log", worker_environment, *APP, "--health-port", port)
    try:
        assert worker.wait() == 1
        assert f"cannot listen on 127.0.0.1:{port}" in worker.output
        assert "Traceback" not in worker.output
    finally:
        worker.close()
        taken.close()
