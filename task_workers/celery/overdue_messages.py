"""Calls whose messages the broker has lost are sent again, without anybody who has to notice.

A broker may lose a message: its disk was wiped, somebody purged a queue, or it is a Redis and handed the message to a
worker that died before it had written down that it has it (kombu pops first, then writes; and what it has written down
of a dead worker comes back after an hour). The store knows which calls wait for a message, by the numbers of their
tickets. One that is still awaited long after that number was given, while the broker has no message of the queue to
deliver, is lost or in the hands of somebody who does not begin it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from brokers.base import Carrier
from orchestrator.errors import BrokerError
from orchestrator.maintenance import Chore

log = logging.getLogger("orchestrator.worker")
LEASES: Final = (
    3.0  # so long a message may be on its way, and then again: more than a claim needs that somebody takes over
)
LOOKS_PER_LEASE: Final = 2.0
MOST: Final = 5_000  # messages at once: the next ones when the queue is empty again


class OverdueMessages(Chore):
    """Any number of workers may do it: what is sent again counts as new. To a queue that has messages nothing is added.

    Args:
        carrier: the broker that carries the calls.
        queues: ours that the worker reads.
        lease_seconds: how long a worker may be silent.
        clock: seconds.
    """

    name = "overdue-messages"

    def __init__(
        self,
        carrier: Carrier,
        queues: Sequence[str],
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._carrier, self._queues, self._clock = carrier, queues, clock
        self._patience_seconds, self._pause_seconds = LEASES * lease_seconds, lease_seconds / LOOKS_PER_LEASE
        self._given: deque[tuple[float, int]] = deque()  # when, and which was the last ticket then

    def run_once(self) -> float:
        given = self._given_long_ago()
        last, found = self._carrier.awaited.overdue(self._queues, given)
        if self._given and last < self._given[-1][1]:  # the store was emptied, and counts anew
            self._given.clear()
            found = []
        self._given.append((self._clock(), last))
        for queue in found:
            self._send_again(queue, given)
        return self._pause_seconds

    def _given_long_ago(self) -> int:
        """The largest number of a ticket that is known to be old enough."""
        long_ago = self._clock() - self._patience_seconds
        while len(self._given) > 1 and self._given[1][0] <= long_ago:
            self._given.popleft()
        return self._given[0][1] if self._given and self._given[0][0] <= long_ago else 0

    def _send_again(self, queue: str, given: int) -> None:
        try:
            if not self._carrier.queues.are_empty(queue):
                return
        except BrokerError:
            raise
        except Exception as error:  # whatever the transport raises
            log.debug("%s: %s", self.name, error)
            return
        sent = self._carrier.awaited.publish_overdue(queue, given, MOST)
        if sent:
            log.warning(
                "the broker has no messages in the queue %s, and calls wait for %d since %g s: they are sent again",
                queue, sent, self._patience_seconds,
            )  # fmt: skip
