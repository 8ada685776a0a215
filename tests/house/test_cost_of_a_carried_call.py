"""What a call of a map costs where Celery carries it, in counts: see ``test_cost_of_a_call``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from brokers.messages import Named
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from brokers.urls import parse_url
from tests.house.test_cost_of_a_call import Ledger
from tests.support.post import Post
from tests.support.servers import ServerProcess

pytestmark = pytest.mark.needs_server
CALLS = 1024


@pytest.fixture
def own(own_server: Callable[..., ServerProcess]) -> ServerProcess:
    return own_server()


@pytest.fixture
def post(own: ServerProcess) -> Iterator[Post]:
    address = parse_url(own.url)
    wires = Wires(lambda: address, command_timeout_seconds=10)
    post = Post(RedisBroker(wires, "costs", result_ttl_seconds=60, external_carrier=True))
    warm_up = post.send_map(10)[1]
    post.finish(warm_up)  # the server learns the scripts
    yield post
    wires.close()


@pytest.fixture
def ledger(own: ServerProcess) -> Iterator[Ledger]:
    with own.client() as client:
        assert isinstance(client, redis.Redis)
        yield Ledger(client)


def test_the_calls_of_a_map_are_carried_and_run_with_few_commands(post: Post, ledger: Ledger) -> None:
    """Those that scripts call included: a range is read, claimed, ended and forgotten, whoever its calls are."""
    sent: list[Named] = []
    submitting, _ = ledger.of(lambda: sent.extend(post.send_map(CALLS, at_once=128)[1]))
    assert submitting.pop("evalsha") == 2  # written, and noted as published
    running, _ = ledger.of(lambda: [post.complete(post.claim([one])) for one in sent])
    assert running.pop("evalsha") == 2 * len(sent) == 16
    assert sum(submitting.values()) + sum(running.values()) <= 0.32 * CALLS, str((submitting, running))  # 0.31
