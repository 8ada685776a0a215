"""One Celery application in this process: sends its tasks, is the source of their futures."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from brokers.messages import FINAL_STATUSES, Status
from brokers.records import ExternalRun
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.client.handles import Handle
from orchestrator.contrib.celery.publisher import Call, Publisher
from orchestrator.contrib.celery.result_watcher import ResultWatcher
from orchestrator.errors import BrokerError, BrokerUnavailable
from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.runs.current import current_attempt, current_flow_run
from orchestrator.runs.run_ids import new_run_id
from orchestrator.states import State

log = logging.getLogger("orchestrator.celery")
Rows = Sequence[tuple[Sequence[Any], Mapping[str, Any]]]


class CeleryApplication:
    """Sends tasks of one application, and settles their futures from one fleet.

    Args:
        app: the application.
        fleet: where the runs are kept.
    """

    def __init__(self, app: Any, fleet: Fleet) -> None:
        settings = fleet.settings
        self.app, self.fleet = app, fleet
        self.publisher = Publisher(
            app, settings.namespace, settings.command_timeout_seconds, settings.connect_timeout_seconds
        )
        self.watch = ResultWatcher(app, fleet) if has_backend(app) else None
        self._warned = False

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, name: str, rows: Rows, options: Mapping[str, Any], watched: bool) -> PrefectFutureList[Any]:
        """Record the runs, then send one message for each.

        Args:
            name: the task's name.
            rows: positional and keyword arguments of each call.
            options: options of ``Celery.send_task``.
            watched: whether outcomes are sent to this process's inbox.

        Raises:
            BrokerError: the store or the application's broker does not respond; messages already sent are revoked.
        """
        if not rows:
            return PrefectFutureList()
        self.publisher.check()
        options = self._with_reply(options)
        inbox = self.fleet.open_inbox() if watched else None
        flow_run_id = _current_flow_run_id()
        calls = [Call(new_run_id(), args, kwargs) for args, kwargs in rows]
        runs = [ExternalRun(call.run_id, name, flow_run_id, inbox) for call in calls]
        futures: PrefectFutureList[Any] = PrefectFutureList(PrefectFuture(call.run_id, source=self) for call in calls)
        kept_seconds = self.fleet.settings.dead_letter_ttl_seconds + _seconds_until(options)
        self.fleet.broker.external_runs.begin(runs, kept_seconds)
        if watched:
            for future in futures:
                self.fleet.open_futures.watch(future)
        self._publish(name, calls, options)
        if self.watch is not None and not options.get("ignore_result"):
            self.watch.add([call.run_id for call in calls])
        return futures

    def _with_reply(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Results that arrive as messages need a reply queue, which must exist before the task runs."""
        reply_to = self.watch.reply_to(self.fleet.settings.command_timeout_seconds) if self.watch is not None else None
        return {**options, "reply_to": reply_to} if reply_to is not None else options

    def _publish(self, name: str, calls: Sequence[Call], options: Mapping[str, Any]) -> None:
        sent: list[str] = []
        try:
            self.publisher.send(name, calls, options, sent.append)
        except BaseException:
            self._withdraw([call.run_id for call in calls], sent)
            raise
        try:
            self.fleet.broker.external_runs.sent(sent)
        except BrokerError as error:
            log.warning("could not record that %d runs were sent to Celery: %s", len(sent), error)

    def _withdraw(self, run_ids: Sequence[str], sent: Sequence[str]) -> None:
        """Undo a failed send: no future for these runs was handed out."""
        try:
            self.fleet.broker.external_runs.withdraw(run_ids)
            if sent:
                self.publisher.revoke(sent)
        except BrokerError as error:
            log.warning("could not withdraw all of %d runs (%d were sent): %s", len(run_ids), len(sent), error)

    def future(self, run_id: str) -> PrefectFuture[Any]:
        """A future of a run that another process sent; this process watches it from now on."""
        future: PrefectFuture[Any] = PrefectFuture(run_id)
        future.move_to(self)
        if self.watch is not None:
            self.watch.add([future.run_id])
        return future

    # -- the source of futures: see orchestrator.client.handles.Source ------------------------------------------------

    def attach(self, futures: Sequence[Handle]) -> None:
        """Settle these futures as soon as their runs end."""
        if not self.fleet.stale_after_fork:
            return self.fleet.attach(futures)
        successor = application_for(self.app)  # forked
        for future in futures:
            future.move_to(successor)
        successor.fleet.attach(futures)

    def latest_state(self, run_id: str) -> State[Any]:
        """The state of a run by its id."""
        return self.fleet.latest_state(run_id)

    def cancel(self, run_ids: list[str]) -> list[bool]:
        """Cancel the runs at once, and revoke those that Celery has not begun."""
        if self.fleet.stale_after_fork:
            return application_for(self.app).cancel(run_ids)
        before = self.fleet.broker.runs.cancel(run_ids, "cancelled; Celery was asked to revoke it")
        stopped = [status not in FINAL_STATUSES and status != Status.UNKNOWN for status in before]
        revoked = [run_id for run_id, was_open in zip(run_ids, stopped, strict=True) if was_open]
        if revoked:
            try:
                self.publisher.revoke(revoked)
            except BrokerUnavailable as error:
                log.warning("%d runs are cancelled, but could not be revoked in Celery: %s", len(revoked), error)
        return stopped

    def stop_watching(self, futures: Sequence[Handle]) -> None:
        """No longer wait for these."""
        self.fleet.stop_watching(futures)

    def look_for_standstill(self, futures: Sequence[Handle], any_of: bool) -> bool:
        """There are no limits of ours."""
        return False

    def still_waiting(self, futures: Sequence[Handle]) -> None:
        """Warn once: without a result backend only the application's workers can report outcomes."""
        if self.watch is None and not self._warned:
            self._warned = True
            log.warning(
                "waiting for %d runs of a Celery application that has no result backend: its workers must call "
                "orchestrator.contrib.celery.report_ends(), or this wait does not end",
                len(futures),
            )


NO_BACKENDS: Final = (None, "", "disabled", "disabled://")


def has_backend(app: Any) -> bool:
    """Whether the application has a result backend."""
    return app.conf.result_backend not in NO_BACKENDS


def _current_flow_run_id() -> str | None:
    flow_run, parent = current_flow_run.get(), current_attempt.get()
    if flow_run is not None:
        return flow_run.run_id
    return parent.flow_run_id if parent is not None else None


def _seconds_until(options: Mapping[str, Any]) -> float:
    """The least time until Celery delivers the message."""
    countdown, eta = options.get("countdown"), options.get("eta")
    if isinstance(countdown, int | float):
        return max(0.0, countdown)
    if isinstance(eta, datetime):
        aware = eta if eta.tzinfo is not None else eta.replace(tzinfo=UTC)
        return max(0.0, aware.timestamp() - time.time())
    return 0.0


_applications: dict[int, CeleryApplication] = {}
os.register_at_fork(after_in_child=_applications.clear)


def application_for(app: Any) -> CeleryApplication:
    """The application, with the fleet of this process."""
    fleet = current_fleet()
    found = _applications.get(id(app))
    if found is None or found.fleet is not fleet or found.app is not app:
        found = _applications[id(app)] = CeleryApplication(app, fleet)
    return found
