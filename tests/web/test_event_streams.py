"""Server-sent events of runs, with a real worker: order, resuming, leaving."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.contrib.fastapi import tasks_router
from orchestrator.contrib.starlette import feed as feeds
from orchestrator.settings import Settings, use
from tests.support.apps.progressing import refuse, step
from tests.support.servers import ServerProcess
from tests.support.site import Event, events_of
from tests.support.waiting import wait_until
from tests.web.conftest import Serve

pytestmark = pytest.mark.usefixtures("worker")


def site_for(serve: Serve) -> httpx.Client:
    app = FastAPI()
    app.include_router(tasks_router())
    return serve(app)


def watched() -> int:
    return sum(len(feed) for feed in list(feeds._feeds.values()))


class Follower:
    """A client that reads a stream in a thread and keeps what comes."""

    def __init__(self, site: httpx.Client, run_id: str, last: str = "") -> None:
        self.events: list[Event] = []
        self._site, self._run_id, self._last = site, run_id, last
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        headers = {"Last-Event-ID": self._last} if self._last else {}
        with self._site.stream("GET", f"/tasks/{self._run_id}/events", headers=headers) as answer:
            for event in events_of(answer):
                self.events.append(event)

    def has(self, name: str, count: int = 1) -> bool:
        return self.names.count(name) >= count

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def data(self, name: str) -> list[Any]:
        return [event.data for event in self.events if event.name == name]


def test_a_snapshot_first_then_what_changes_and_the_end_last(serve: Serve, tmp_path: Path) -> None:
    site = site_for(serve)
    future = step.delay(str(tmp_path), 2)
    client = Follower(site, future.run_id)
    wait_until(lambda: client.has("snapshot"), 40)
    (tmp_path / "step-1").touch()
    wait_until(lambda: client.has("progress") and client.has("log"), 40)
    (tmp_path / "step-2").touch()
    client.thread.join(40)
    assert client.names[0] == "snapshot"
    assert client.data("snapshot")[0]["ended"] is False
    assert client.data("progress")[0] == {"done": 1, "total": 2, "note": "step 1", "fraction": 0.5}
    assert [line["message"] for line in client.data("log")] == ["step 1", "step 2"]
    assert client.data("log")[0]["level"] == "INFO"
    assert client.names[-1] == "end"
    assert client.names.count("end") == 1
    end = client.data("end")[0]
    assert (end["state"], end["result"], end["progress"]["done"]) == ("COMPLETED", 2, 2)
    assert client.data("state")[-1]["state"] == "COMPLETED"


def test_a_run_that_has_ended_already(serve: Serve) -> None:
    future = refuse.delay("it is closed")
    future.wait(40)
    answer = site_for(serve).get(f"/tasks/{future.run_id}/events")
    events = list(events_of(answer))
    assert [event.name for event in events] == ["snapshot", "end"]
    assert events[-1].data["error"] == {"type": "ValueError", "message": "it is closed", "traceback": None}
    assert answer.headers["cache-control"] == "no-cache"


def test_a_client_that_comes_back_gets_what_it_has_missed_and_nothing_twice(serve: Serve, tmp_path: Path) -> None:
    site = site_for(serve)
    future = step.delay(str(tmp_path), 3)
    (tmp_path / "step-1").touch()
    first: list[Event] = []
    with site.stream("GET", f"/tasks/{future.run_id}/events") as answer:
        for event in events_of(answer):
            first.append(event)
            if event.name == "log":
                break
    (tmp_path / "step-2").touch()
    (tmp_path / "step-3").touch()
    future.wait(40)
    second = Follower(site_for(serve), future.run_id, last=first[-1].id)  # another process would say the same
    second.thread.join(40)
    assert second.names[0] == "snapshot"
    assert [line["message"] for line in second.data("log")] == ["step 2", "step 3"]
    assert second.names[-1] == "end"
    done = site.get(f"/tasks/{future.run_id}/events", headers={"Last-Event-ID": second.events[-1].id})
    assert done.status_code == 204, "a browser comes back until it is told not to"


def test_an_unknown_last_event_id_gets_everything_that_is_kept(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "step-1").touch()
    future = step.delay(str(tmp_path), 1)
    future.wait(40)
    client = Follower(site_for(serve), future.run_id, last="whatever")
    client.thread.join(40)
    assert client.names == ["snapshot", "log", "end"]


def test_thirty_clients_are_one_look_at_the_store(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    look = feeds.read_snapshots

    def counted(fleet: Fleet, run_ids: list[str]) -> Any:
        looked.append(len(run_ids))
        return look(fleet, run_ids)

    monkeypatch.setattr(feeds, "read_snapshots", counted)
    site = site_for(serve)
    future = step.delay(str(tmp_path), 2)
    clients = [Follower(site, future.run_id) for _ in range(30)]
    wait_until(lambda: all(client.has("snapshot") for client in clients), 40)
    assert watched() == 1
    before = len(looked)
    (tmp_path / "step-1").touch()
    wait_until(lambda: all(client.has("progress") for client in clients), 40)
    (tmp_path / "step-2").touch()
    for client in clients:
        client.thread.join(40)
    assert [client.names[-1] for client in clients] == ["end"] * 30
    assert all(len(client.data("log")) == 2 for client in clients)
    assert set(looked) <= {0, 1}, "one run is asked for, however many watch it"
    assert len(looked) - before < 30, "and not by each of them"


def test_a_client_that_leaves_frees_everything(fleet: Fleet, serve: Serve, tmp_path: Path) -> None:
    site = site_for(serve)
    future = step.apply_async((str(tmp_path), 1), queue="nobody-serves-it")
    with site.stream("GET", f"/tasks/{future.run_id}/events") as answer:
        events = events_of(answer)  # kept: the answer is closed with it
        assert next(events).name == "snapshot"
        assert watched() == 1
    wait_until(lambda: watched() == 0, 30)
    wait_until(lambda: not fleet.open_futures.is_open(future.run_id), 30)
    wait_until(lambda: all(feed._poller is None or feed._poller.done() for feed in list(feeds._feeds.values())), 30)
    assert future.cancel()


def test_silence_is_filled_with_comments(serve: Serve, tmp_path: Path) -> None:
    app = FastAPI()
    app.include_router(tasks_router(heartbeat_seconds=0.05))
    future = step.apply_async((str(tmp_path), 1), queue="nobody-serves-it")
    site = serve(app)
    with site.stream("GET", f"/tasks/{future.run_id}/events") as answer:
        for event in events_of(answer):
            if event.data == "still here":
                break
    assert future.cancel()


def test_a_stream_outlives_an_absence_of_the_server(server_program: Path, serve: Serve, tmp_path: Path) -> None:
    own = ServerProcess(server_program).start()
    settings = Settings(redis_url=own.url, command_timeout_seconds=0.5)
    lonely = Fleet(settings)
    before = use_fleet(lonely)
    try:
        with use(settings):
            future = step.delay(str(tmp_path), 1)  # it has no worker
            client = Follower(site_for(serve), future.run_id)
            wait_until(lambda: client.has("snapshot"), 40)
            own.freeze()
            wait_until(lambda: any("does not answer" in str(event.data) for event in client.events), 40)
            own.thaw()
            wait_until(lambda: _cancelled(future), 40)
            client.thread.join(40)
            assert client.data("end")[0]["state"] == "CANCELLED"
    finally:
        use_fleet(before)
        lonely.close()
        own.close()


def _cancelled(future: Any) -> bool:
    try:
        return bool(future.cancel()) or future.state.is_cancelled()
    except Exception:
        return False
