"""The calls of the soak: a seeded mix, sent at an even pace, each with what is to become of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from brokers.messages import Status
from chaos import tasks
from chaos.tasks import insist

C, F, K, N = Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.NOT_READY
GROUP: Final = 300  # no-ops that are sent by one map, which are blocks in the store
FAR_SECONDS: Final = 3600.0


class Sent(NamedTuple):
    """An accepted call, and what may become of it."""

    kind: str
    future: Any
    value: Any = None
    statuses: Sequence[bytes] = (C,)
    starts: int = 1  # attempts of its code without any fault
    fewest: int = 1  # 0: it may end before it starts


class Load:
    """Sends the calls.

    Args:
        seed: of the mix.
        deploy: writes the schedules again; now and then, between the calls.
    """

    def __init__(self, seed: int, deploy: Callable[[], None]) -> None:
        self._random = random.Random(seed)
        self.sent: list[Sent] = []
        self.resent = 0
        self._to_cancel: list[Any] = []
        self._kinds: dict[Callable[[int], None], float] = {
            self._noops: 0.5,  # a group at a time
            self._doze: 8.0,
            self._doze_async: 4.0,
            self._limited: 2.0,
            self._later: 3.0,
            self._retried: 2.0,
            self._failing: 1.0,
            self._chain: 1.5,
            self._fan_in: 0.7,
            self._after_failure: 0.4,
            self._tree: 0.7,
            self._cancelled_far: 0.3,
            self._cancelled_near: 0.3,
            lambda number: deploy(): 0.3,
        }

    def run(self, calls: int, seconds: float) -> None:
        """Send so many calls within about so many seconds."""
        kinds, weights = list(self._kinds), list(self._kinds.values())
        begun = time.monotonic()
        while len(self.sent) < calls:
            self._random.choices(kinds, weights)[0](len(self.sent))
            ahead = begun + seconds * len(self.sent) / calls - time.monotonic()
            if ahead > 0.02:
                time.sleep(ahead)

    def _send(self, kind: str, send: Callable[[], Any], value: Any, **more: Any) -> Any:
        future = self._insist(send)
        self.sent.append(Sent(kind, future, value, **more))
        return future

    def _insist(self, send: Callable[[], Any]) -> Any:
        tries = 0

        def once() -> Any:
            nonlocal tries
            tries += 1
            return send()

        try:
            return insist(once)
        finally:
            self.resent += tries - 1

    # -- the kinds -----------------------------------------------------------------------------------------------

    def _noops(self, number: int) -> None:
        numbers = range(number, number + GROUP)
        for value, future in zip(numbers, self._insist(lambda: tasks.noop.map(numbers)), strict=True):
            self.sent.append(Sent("no-op", future, value))

    def _doze(self, number: int) -> None:
        seconds = self._random.uniform(0.001, 0.02)
        self._send("sleeper", lambda: tasks.doze.submit(number, seconds), number)

    def _doze_async(self, number: int) -> None:
        seconds = self._random.uniform(0.001, 0.1)
        self._send("async", lambda: tasks.doze_async.submit(number, seconds), number)

    def _limited(self, number: int) -> None:
        self._send("limited", lambda: tasks.limited.submit(number), number)

    def _later(self, number: int) -> None:
        seconds = self._random.uniform(0.1, 1.0)
        self._send("delayed", lambda: tasks.noop.apply_async((number,), countdown=seconds), number)

    def _retried(self, number: int) -> None:
        self._send("retrying", lambda: tasks.fail_first.submit(number), number, starts=2, fewest=2)

    def _failing(self, number: int) -> None:
        send = partial(tasks.fail_always.submit, number)
        self._send("failing", send, None, statuses=(F,), starts=2, fewest=2)

    def _chain(self, number: int) -> None:
        first = self._send("chain", lambda: tasks.noop.submit(number), number)
        second = self._send("chain", lambda: tasks.add.submit(first, 1), number + 1)
        self._send("chain", lambda: tasks.add.submit(second, 1), number + 2)

    def _fan_in(self, number: int) -> None:
        parts = [self._send("fan-in", partial(tasks.noop.submit, i), i) for i in range(number, number + 5)]
        self._send("fan-in", lambda: tasks.add.submit(*parts), 5 * number + 10)

    def _after_failure(self, number: int) -> None:
        send = partial(tasks.fail_always.submit, number)
        first = self._send("failing", send, None, statuses=(F,), starts=2, fewest=2)
        self._send("not ready", lambda: tasks.add.submit(first, 1), None, statuses=(N,), starts=0, fewest=0)

    def _tree(self, number: int) -> None:
        self._send("nested", lambda: tasks.tree.submit(number), 3 * number + 6)

    def _cancelled_far(self, number: int) -> None:
        send = partial(tasks.noop.apply_async, (number,), countdown=FAR_SECONDS)
        future = self._send("cancelled", send, None, statuses=(K,), starts=0, fewest=0)
        self._insist(future.cancel)

    def _cancelled_near(self, number: int) -> None:
        """It may be queued, running or finished by then."""
        future = self._send("cancelled", lambda: tasks.doze.submit(number, 0.02), number, statuses=(C, K), fewest=0)
        if self._random.random() < 0.5:
            time.sleep(0.01)
        self._insist(future.cancel)
