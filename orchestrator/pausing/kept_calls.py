"""The calls that a flow run on a worker has made: after a suspension those that completed are not run again.

They are kept in memory while the flow runs, and written to the store when it is suspended. A call is known again by its
task, its arguments, and how many equal ones came before.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any, Final

import msgpack

from orchestrator import serializers
from orchestrator.caching.hashing import stable_hash
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import OrchestratorError, SerializationError
from orchestrator.futures import PrefectFuture
from orchestrator.pausing.requests import SuspensionRequests
from orchestrator.runs.current import current_attempt, current_flow_run, current_transaction
from orchestrator.runs.nested_values import replace_nested
from orchestrator.states import Completed, State

log = logging.getLogger("orchestrator.flow_runs")
MOST_CALLS: Final = 10_000  # remembered in memory; further ones are run again
MOST_BYTES: Final = 16 * 1024 * 1024  # of what they returned, packed
KEPT_SECONDS: Final = 30 * 86_400.0  # as records of flow runs are, unless the settings say otherwise


_Row = tuple[str, str, bytes]  # digest, "value" or "run", the packed value or the run id


class KeptCalls:
    """Those of one flow run. Safe for any number of threads.

    What a call was given and returned is looked at when it is made: the flow may change it afterwards.

    Args:
        flow_run_id: its id.
    """

    def __init__(self, flow_run_id: str) -> None:
        self._flow_run_id = flow_run_id
        self._rows: list[_Row] = []
        self._bytes = self._left_out = 0
        self._lock = threading.Lock()
        self._read = False  # those of before the suspension, at the first call
        self._requests = SuspensionRequests(flow_run_id)
        self._before: dict[str, deque[tuple[str, bytes]]] = {}

    def calling(self, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
        """The flow is about to call a task in its own process: what the call is known by, ``None`` if it is not kept.

        Somebody may have asked for a suspension: this is the moment for it. Raises SuspendFlowRun, BrokerError.
        """
        return self._digest("called", task, args, kwargs)

    def sending(self, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
        """The flow is about to send a call; see :meth:`calling`."""
        return self._digest("sent", task, args, kwargs)

    def _digest(self, how: str, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
        if current_transaction.get() is None:  # in one it would be undone what answers when the run goes on
            self._requests.follow()
        with self._lock:
            if not self._read:
                self._before, self._read = _read(self._flow_run_id), True
        if len(self._rows) >= MOST_CALLS:
            return None
        try:
            return stable_hash(how, task.task_key, *(replace_nested(part, _plain) for part in (list(args), kwargs)))
        except OrchestratorError:
            return None

    def __contains__(self, digest: str | None) -> bool:
        """Whether there is an answer to this call of before the suspension."""
        return bool(self._before) and bool(self._before.get(digest or ""))

    def end_of(self, digest: str | None) -> State[Any] | None:
        """How the flow's process ended this call before the suspension; each answer is given once, and kept again."""
        data = self._answer(digest)
        return _value_of(self._flow_run_id, data) if data is not None else None

    def run_of(self, digest: str | None) -> str | None:
        """The id of the run as which this call was sent before the suspension; each is given once, and kept again."""
        data = self._answer(digest)
        return data.decode() if data is not None else None

    def _answer(self, digest: str | None) -> bytes | None:
        with self._lock:
            answers = self._before.get(digest or "")
            if not answers:
                return None
            kind, data = answers.popleft()
        self._note(digest, kind, data)
        return data

    def note_end(self, digest: str | None, state: State[Any]) -> None:
        """The flow has called a task in its own process, which ended so."""
        if not state.is_completed():
            return
        try:
            context = lambda: ("kept call", self._flow_run_id)  # noqa: E731
            body = serializers.pack_value(state.data, context=context, limits=current_fleet().limits)
        except Exception as error:  # whatever the value did to the packer: the call is made again
            log.debug("a result of flow run %s is not kept: %r", self._flow_run_id, error)
            digest, body = None, b""
        self._note(digest, "value", body)

    def note_run(self, digest: str | None, run_id: str) -> None:
        """The flow has sent a call."""
        self._note(digest, "run", run_id.encode())

    def _note(self, digest: str | None, kind: str, data: bytes) -> None:
        with self._lock:
            if digest is None or self._bytes + len(data) > MOST_BYTES:
                self._left_out += 1
                return
            self._bytes += len(data)
            self._rows.append((digest, kind, data))

    def write(self) -> None:
        """The flow run is suspended: what it has done is written down. Raises BrokerError."""
        fleet = current_fleet()
        with self._lock:
            rows = [*self._rows, *((digest, *answer) for digest, all_ in self._before.items() for answer in all_)]
        if self._left_out:
            log.warning(
                "flow run %s is suspended: %d of its calls will be made again, since there are so many or what they "
                "were given or returned cannot be kept",
                self._flow_run_id, self._left_out,
            )  # fmt: skip
        packed = serializers.enclose(msgpack.packb(rows), lambda: ("kept calls", self._flow_run_id))
        fleet.broker.cache.put(_key(self._flow_run_id), packed, max(KEPT_SECONDS, fleet.settings.flow_run_ttl_seconds))


def kept_calls_here() -> KeptCalls | None:
    """Those of the flow run around this line, if it is one that can be suspended, and no task is around it."""
    run: Any = current_flow_run.get()
    return run.kept_calls if run is not None and current_attempt.get() is None else None


def _read(flow_run_id: str) -> dict[str, deque[tuple[str, bytes]]]:
    found: dict[str, deque[tuple[str, bytes]]] = defaultdict(deque)
    stored = current_fleet().broker.cache.get(_key(flow_run_id))
    if stored is None:
        return {}
    try:
        rows = msgpack.unpackb(serializers.disclose(stored, lambda: ("kept calls", flow_run_id)))
        for digest, kind, data in rows:
            found[str(digest)].append((str(kind), bytes(data)))
    except Exception as error:  # damaged, or a key that is gone: its calls are run again
        log.warning("the calls that flow run %s had made cannot be read, and are made again: %s", flow_run_id, error)
        return {}
    return dict(found)


def _value_of(flow_run_id: str, data: bytes) -> State[Any] | None:
    try:
        value = serializers.unpack_value(data, context=lambda: ("kept call", flow_run_id))
    except SerializationError as error:
        log.warning("a result that flow run %s had kept cannot be read, and is made again: %s", flow_run_id, error)
        return None
    return Completed(message="it completed before the flow run was suspended", data=value)


def _plain(part: Any) -> Any:
    return ("run", part.run_id) if isinstance(part, PrefectFuture) else part


def _key(flow_run_id: str) -> str:
    return f"kept-calls-{flow_run_id}"
