"""Looks after what was started for one run: before its process has taken the run over, and until it is gone."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from brokers.messages import FINAL_STATUSES, AckKind, KillVerdict, Status
from brokers.schema import Reason
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from task_workers.infrastructure.base import Condition, Handle, Infrastructure, InfrastructureError, Phase
from task_workers.infrastructure.inside import TERMINATED
from task_workers.infrastructure.output import OutputStream
from task_workers.infrastructure.variables import OwnCall

log = logging.getLogger("orchestrator.infrastructure")
POLL_SECONDS: Final = 2.0
LEAST_POLL_SECONDS: Final = 0.1
LOOKS: Final = 5  # of the store for one at what runs: its output ends when it does, and wakes us
EXIT_SECONDS: Final = 30.0  # for a process whose run has ended
LAST_LINES_SECONDS: Final = 2.0


class Holder(Enum):
    """Who has the run."""

    WORKER = "the worker that has started something for it"
    INSIDE = "the process inside"
    NOBODY_HERE = "others, or it has ended"


class Standing(NamedTuple):
    """How the run stands in the store.

    Attributes:
        holder: who has it.
        consumer: the process inside, by its name in the store.
        is_cancelling: somebody wants it to stop.
        is_taken_over: others have it since the process inside was silent for longer than its lease.
    """

    holder: Holder
    consumer: str = ""
    is_cancelling: bool = False
    is_taken_over: bool = False


class Limits(NamedTuple):
    """How long things may take, in seconds; ``None``: as long as they like.

    Attributes:
        grace: until the process inside has taken the run over.
        pod: until its pod runs.
        job: from its start to its end.
    """

    grace: float
    pod: float | None = None
    job: float | None = None


class Watch:
    """One run, and what was started for it.

    Args:
        fleet: whose store.
        infrastructure, handle: what was started, and where.
        call: the run with its ticket, and the consumer that claimed it.
        limits: how long things may take.
        output: what it writes.
        auto_remove: whether it is removed when it has ended.
        is_draining: whether this worker is to end.

    Attributes:
        wake: set by whoever wants it to look now.
    """

    def __init__(
        self,
        fleet: Fleet,
        infrastructure: Infrastructure,
        handle: Handle,
        call: OwnCall,
        limits: Limits,
        output: OutputStream,
        *,
        auto_remove: bool = False,
        is_draining: Callable[[], bool] = lambda: False,
        wake: threading.Event | None = None,
    ) -> None:
        self._fleet, self._infrastructure, self.handle, self.call = fleet, infrastructure, handle, call
        self.limits, self.output, self._auto_remove, self._is_draining = limits, output, auto_remove, is_draining
        self.wake = wake or threading.Event()
        self.started_at = time.monotonic()
        self._poll = max(LEAST_POLL_SECONDS, min(POLL_SECONDS, fleet.settings.beat_seconds))
        self._trouble, self._looked_at = "", 0.0
        self._take_overs: int | None = None  # of the run, as long as its ticket is ours

    # -- looking ---------------------------------------------------------------------------------------------------

    def standing(self) -> Standing:
        """How the run stands; waits while the store is away."""
        while True:
            try:
                return self._standing()
            except BrokerError as error:
                self._log_once(f"the store cannot be asked for flow run {self.call.run_id}: {error}")
            self.pause()

    def _standing(self) -> Standing:
        records = self._fleet.broker.records
        (row,) = records.rows([self.call.run_id])
        if row.status in FINAL_STATUSES or row.status == Status.UNKNOWN or row.ticket != self.call.ticket:
            is_taken_over = self._take_overs is not None and row.take_overs > self._take_overs
            return Standing(Holder.NOBODY_HERE, is_taken_over=is_taken_over)
        self._take_overs = row.take_overs
        consumer = records.holder(row) or ""
        holder = Holder.WORKER if consumer == self.call.holder else Holder.INSIDE if consumer else Holder.NOBODY_HERE
        return Standing(holder, consumer, row.status == Status.CANCELLING)

    def look(self) -> Condition | None:
        """How what was started is; ``None`` while that cannot be had."""
        try:
            condition = self._infrastructure.look(self.handle)
        except InfrastructureError as error:
            self._log_once(f"{self.handle} cannot be looked at: {error}")
            return None
        if condition.phase is not Phase.STARTING:
            self.output.start()
        return condition

    def pause(self) -> None:
        """Until it is time to look again, or somebody wants it."""
        if self.wake.wait(self._poll):
            self._looked_at = 0.0
        self.wake.clear()

    def _look_now_and_then(self) -> Condition | None:
        """How it is; each look is a program that is run, so there are few while nothing has happened."""
        now = time.monotonic()
        if now - self._looked_at < LOOKS * self._poll:
            return None
        self._looked_at = now
        return self.look()

    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started_at

    # -- once the process inside has the run -----------------------------------------------------------------------

    def until_the_end(self) -> None:
        """Look after it until it is gone, or this worker ends: another one goes on then."""
        cancelled_at: float | None = None
        while not self._is_draining():
            standing = self.standing()
            if standing.holder is not Holder.INSIDE:
                return self.clean_up(0.0 if standing.is_taken_over else EXIT_SECONDS)
            if standing.is_cancelling:
                cancelled_at = cancelled_at or time.monotonic()
                if time.monotonic() - cancelled_at > self._fleet.settings.kill_grace_seconds:
                    self._kill(standing, "it was cancelled and did not stop")
            elif self.limits.job is not None and self.age() > self.limits.job:
                self._kill(
                    standing, f"it ran longer than job_watch_timeout_seconds={self.limits.job:g}", timed_out=True
                )
            elif (condition := self._look_now_and_then()) is not None and condition.is_over:
                self._lost(condition)
            self.pause()
        return None

    def _lost(self, condition: Condition) -> None:
        """Its process is gone. If it has not stored how the run ended, that was a crash."""
        standing = self.standing()  # after the condition: the end may have been stored in between
        if standing.holder is not Holder.INSIDE:
            return
        if condition.phase is Phase.GONE and self.handle.kind != "container":
            return  # somebody has deleted the job, whose pod may still end: its lease says when it has
        reason = f"its {self.handle.kind} ended {ending_of(condition)}"
        log.warning("flow run %s: %s", self.call.run_id, reason)
        charged = {} if condition.exit_code == TERMINATED else {self.call.run_id: reason}
        self._take_over(standing, running=charged, charge_running=bool(charged))

    def _kill(self, standing: Standing, reason: str, timed_out: bool = False) -> None:
        log.warning("flow run %s: %s; %s is killed", self.call.run_id, reason, self.handle)
        if not self.end(0.0):
            return
        after = self.standing()
        if after.holder is Holder.INSIDE and after.consumer == standing.consumer:
            verdicts = {self.call.run_id: KillVerdict(AckKind.FAILED, reason, 0, Reason.TIMED_OUT)} if timed_out else {}
            self._take_over(after, running={self.call.run_id: reason}, verdicts=verdicts)

    def _take_over(
        self,
        standing: Standing,
        *,
        running: dict[str, str],
        verdicts: dict[str, KillVerdict] | None = None,
        charge_running: bool = True,
    ) -> None:
        settings = self._fleet.settings
        try:
            self._fleet.broker.deliveries.take_over(
                standing.consumer,
                running=running,
                verdicts=verdicts,
                charge_running=charge_running,
                max_deliveries=settings.max_deliveries,
                dead_letter_ttl_seconds=settings.dead_letter_ttl_seconds,
            )
        except BrokerError as error:
            self._log_once(f"flow run {self.call.run_id} could not be queued again: {error}")

    # -- the end ---------------------------------------------------------------------------------------------------

    def clean_up(self, patience_seconds: float) -> None:
        """Its run has ended, or others have it: it ends by itself soon, or is killed.

        One that was frozen while others got its run has no time to go on.
        """
        until = time.monotonic() + patience_seconds
        while (condition := self.look()) is not None and not condition.is_over and time.monotonic() < until:
            if self._is_draining():
                return
            self.pause()
        if condition is not None and not condition.is_over:
            log.warning("%s goes on though flow run %s does not need it: it is ended", self.handle, self.call.run_id)
            self.end(self._fleet.settings.kill_grace_seconds if patience_seconds else 0.0)
        self.close()

    def end(self, grace_seconds: float) -> bool:
        """Have its processes end; whether they have."""
        try:
            self._infrastructure.end(self.handle, grace_seconds)
        except InfrastructureError as error:
            self._log_once(f"{self.handle} cannot be ended: {error}")
            return False
        return True

    def close(self) -> None:
        """Nothing of it runs any more."""
        self.output.stop(LAST_LINES_SECONDS)
        if self._auto_remove:
            try:
                self._infrastructure.remove(self.handle)
            except InfrastructureError as error:
                self._log_once(f"{self.handle} cannot be removed: {error}")

    def _log_once(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            log.warning("%s", text)


def ending_of(condition: Condition) -> str:
    """How it ended, for people.

    >>> ending_of(Condition(Phase.ENDED, 137, "it was out of memory"))
    'with exit code 137 (it was out of memory)'
    """
    code = "and was removed" if condition.phase is Phase.GONE else f"with exit code {condition.exit_code}"
    return f"{code} ({condition.reason})" if condition.reason else code
