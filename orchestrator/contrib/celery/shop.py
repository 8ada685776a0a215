"""A Celery application as this process sees it: sends its tasks, and is where their futures come from."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from brokers.contract import SETTLED, Status
from brokers.redis import away
from orchestrator.context import current_attempt, current_flow_run
from orchestrator.contrib.celery.sending import Call, Courier
from orchestrator.contrib.celery.watching import ResultWatch
from orchestrator.errors import BrokerError, BrokerUnavailable
from orchestrator.fleet import Fleet, current_fleet
from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.ids import new_run_id
from orchestrator.states import State

log = logging.getLogger("orchestrator.celery")
Rows = Sequence[tuple[Sequence[Any], Mapping[str, Any]]]


class Shop:
    """One application and one fleet.

    Args:
        app: the application.
        fleet: where the runs are kept.
    """

    def __init__(self, app: Any, fleet: Fleet) -> None:
        settings = fleet.settings
        self.app, self.fleet = app, fleet
        self.courier = Courier(
            app, settings.namespace, settings.command_timeout_seconds, settings.connect_timeout_seconds
        )
        self.watch = ResultWatch(app, fleet) if has_backend(app) else None
        self._warned = False

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, name: str, rows: Rows, options: Mapping[str, Any], watched: bool) -> PrefectFutureList[Any]:
        """Write runs down, and send a message for each.

        Args:
            name: of the task.
            rows: arguments of each call.
            options: of ``Celery.send_task``.
            watched: whether the ends are sent to this process's inbox.

        Raises:
            BrokerError: the store or the application's broker does not answer; what had been sent is revoked.
        """
        if not rows:
            return PrefectFutureList()
        self.courier.check()
        options = self._with_reply(options)
        inbox = self.fleet.open_inbox() if watched else None
        flow_run_id = _flow_run_here()
        calls = [Call(new_run_id(), args, kwargs) for args, kwargs in rows]
        runs = [away.AwayRun(call.run_id, name, flow_run_id, inbox) for call in calls]
        futures: PrefectFutureList[Any] = PrefectFutureList(PrefectFuture(call.run_id, source=self) for call in calls)
        kept_seconds = self.fleet.settings.dead_letter_ttl_seconds + _seconds_until(options)
        away.begin(self.fleet.broker, runs, kept_seconds)
        if watched:
            for future in futures:
                self.fleet.watch(future)
        self._deliver(name, calls, options)
        if self.watch is not None and not options.get("ignore_result"):
            self.watch.add([call.run_id for call in calls])
        return futures

    def _with_reply(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Results that come as messages need an address, which must be there before the task runs."""
        reply_to = self.watch.reply_to(self.fleet.settings.command_timeout_seconds) if self.watch is not None else None
        return {**options, "reply_to": reply_to} if reply_to is not None else options

    def _deliver(self, name: str, calls: Sequence[Call], options: Mapping[str, Any]) -> None:
        sent: list[str] = []
        try:
            self.courier.send(name, calls, options, sent.append)
        except BaseException:
            self._take_back([call.run_id for call in calls], sent)
            raise
        try:
            away.sent(self.fleet.broker, sent)
        except BrokerError as error:
            log.warning("the store cannot be told that %d runs were sent to Celery: %s", len(sent), error)

    def _take_back(self, run_ids: Sequence[str], sent: Sequence[str]) -> None:
        """Nobody gets handles on these."""
        try:
            away.withdraw(self.fleet.broker, run_ids)
            if sent:
                self.courier.revoke(sent)
        except BrokerError as error:
            log.warning("not all of %d runs could be taken back (%d were sent): %s", len(run_ids), len(sent), error)

    def future(self, run_id: str) -> PrefectFuture[Any]:
        """A handle on a run that another process sent; this process looks after it from now on."""
        future: PrefectFuture[Any] = PrefectFuture(run_id)
        future.move_to(self)
        if self.watch is not None:
            self.watch.add([future.run_id])
        return future

    # -- where futures come from: see orchestrator.futures.Source ----------------------------------------------------

    def attach(self, futures: list[PrefectFuture[Any]]) -> None:
        """Make sure that these futures will be settled when their runs end."""
        if not self.fleet.left_behind:
            return self.fleet.attach(futures)
        heir = shop_of(self.app)  # forked
        for future in futures:
            future.move_to(heir)
        heir.fleet.attach(futures)

    def latest_state(self, run_id: str) -> State[Any]:
        """The state of a run by its id."""
        return self.fleet.latest_state(run_id)

    def cancel(self, run_ids: list[str]) -> list[bool]:
        """The runs are Cancelled at once; Celery is told not to run those that it has not begun."""
        if self.fleet.left_behind:
            return shop_of(self.app).cancel(run_ids)
        before = self.fleet.broker.cancel(run_ids, "cancelled; Celery was told to revoke it")
        stopped = [status not in SETTLED and status != Status.UNKNOWN for status in before]
        revoked = [run_id for run_id, was_open in zip(run_ids, stopped, strict=True) if was_open]
        if revoked:
            try:
                self.courier.revoke(revoked)
            except BrokerUnavailable as error:
                log.warning("%d runs are cancelled, but Celery could not be told: %s", len(revoked), error)
        return stopped

    def still_waiting(self, futures: list[PrefectFuture[Any]]) -> None:
        """Said once: without a result backend it is up to the application's workers."""
        if self.watch is None and not self._warned:
            self._warned = True
            log.warning(
                "waiting for %d runs of a Celery application that has no result backend: its workers must call "
                "orchestrator.contrib.celery.report_ends(), or this wait does not end",
                len(futures),
            )


NO_BACKENDS: Final = (None, "", "disabled", "disabled://")


def has_backend(app: Any) -> bool:
    """Whether the application keeps results."""
    return app.conf.result_backend not in NO_BACKENDS


def _flow_run_here() -> str | None:
    flow_run, parent = current_flow_run.get(), current_attempt.get()
    if flow_run is not None:
        return flow_run.run_id
    return parent.flow_run_id if parent is not None else None


def _seconds_until(options: Mapping[str, Any]) -> float:
    """How long Celery holds the message back at least."""
    countdown, eta = options.get("countdown"), options.get("eta")
    if isinstance(countdown, int | float):
        return max(0.0, countdown)
    if isinstance(eta, datetime):
        aware = eta if eta.tzinfo is not None else eta.replace(tzinfo=UTC)
        return max(0.0, aware.timestamp() - time.time())
    return 0.0


_shops: dict[int, Shop] = {}
os.register_at_fork(after_in_child=_shops.clear)


def shop_of(app: Any) -> Shop:
    """The application, for the fleet of this process."""
    fleet = current_fleet()
    found = _shops.get(id(app))
    if found is None or found.fleet is not fleet or found.app is not app:
        found = _shops[id(app)] = Shop(app, fleet)
    return found
