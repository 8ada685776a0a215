"""What a worker host does with commands, and how it begins while the server is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.errors import BrokerUnavailable
from orchestrator.maintenance import Chore, WorkerHost
from orchestrator.testing.throwaway import throwaway_fleet
from tests.support.waiting import wait_until


class Heard:
    """What a host has asked its worker to do."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.all: list[tuple[str, str]] = []

    def host(self, fleet: Any = None) -> WorkerHost:
        return WorkerHost(
            fleet,
            dict,
            on_stop=lambda: self.asked.append("stop"),
            on_pause=lambda paused: self.asked.append("pause" if paused else "resume"),
        )


@pytest.mark.parametrize(
    ("commands", "asked", "tells"),
    [
        (["ping"], [], True),
        (["stop", "stop", "ping"], ["stop"], True),
        (["pause", "resume", "pause"], ["pause", "resume", "pause"], True),
        (["cancel", "something of a later version"], [], False),
        ([], [], False),
    ],
)
def test_commands_to_the_worker_as_a_whole(commands: list[str], asked: list[str], tells: bool) -> None:
    heard = Heard()
    host = heard.host()
    host.handle_commands([(kind, "") for kind in commands])
    assert heard.asked == asked
    assert host._heartbeat._wake.is_set() is tells


class PlayedInbox:
    """An inbox of a server that is away for the first tries."""

    tries_left = 2

    def __init__(self, name: str, on_orders: Callable[..., None]) -> None:
        self.name, self.deliver = name, on_orders
        self.started = self.stopped = False

    def start(self) -> None:
        if type(self).tries_left:
            type(self).tries_left -= 1
            raise BrokerUnavailable("away")
        assert not self.started
        self.started = True

    def stop(self) -> None:
        self.stopped = True


def test_a_patient_host_hears_commands_once_the_server_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chore, "retry_seconds", 0.01)
    monkeypatch.setattr(PlayedInbox, "tries_left", 2)
    heard = Heard()
    with throwaway_fleet() as fleet:
        monkeypatch.setattr(fleet.broker.inboxes, "inbox", PlayedInbox)
        host = heard.host(fleet)
        with pytest.raises(BrokerUnavailable):
            host.listen("w")
        host.listen("w", heard.all.extend, patiently=True)
        inbox: Any = host._inbox
        assert not inbox.started
        host.start()
        try:
            wait_until(lambda: inbox.started, 20, "the inbox is there")
            inbox.deliver([("stop", ""), ("cancel", "a")])
            assert heard.asked == ["stop"]
            assert heard.all == [("stop", ""), ("cancel", "a")]
        finally:
            host.stop()
        assert inbox.stopped
