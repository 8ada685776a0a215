"""The shape of a chore: ``start``, ``stop``, and a ``run_once`` that says how long to sleep."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod

from brokers.threads import unending
from orchestrator.errors import BrokerError, BrokerRefused

log = logging.getLogger("orchestrator.chores")


class Chore(ABC):
    """A thread that does something now and then. ``stop`` before ``start``, or twice, is fine; ``stop`` waits."""

    name = "chore"
    retry_seconds = 0.5

    def __init__(self) -> None:
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._logged: set[str] = set()

    @abstractmethod
    def run_once(self) -> float:
        """Do it; returns the seconds to sleep. May raise BrokerError: it is tried again soon."""

    def start(self) -> None:
        if self._thread is None and not self._stopping.is_set():
            self._thread = threading.Thread(target=unending(self._run), name=self.name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def wake(self) -> None:
        """Do it now."""
        self._wake.set()

    def _log_error(self, error: BrokerError) -> None:
        """A server that is away comes back; one that refuses needs somebody to look at it: logged once."""
        if isinstance(error, BrokerRefused) and str(error) not in self._logged:
            self._logged.add(str(error))
            log.warning("%s is refused and tries again: %s", self.name, error)
        else:
            log.debug("%s: %s", self.name, error)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                seconds = self.run_once()
            except BrokerError as error:
                self._log_error(error)
                seconds = self.retry_seconds
            except Exception:
                log.exception("%s failed once; it goes on", self.name)
                seconds = 1.0
            self._wake.wait(seconds)
            self._wake.clear()
