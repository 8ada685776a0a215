"""The methods of a flow that have a worker run it: ``my_flow.delay(...)``, ``submit``, ``apply_async``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from orchestrator.futures import PrefectFuture
from orchestrator.runnables.flow_call import asend_flow, send_flow
from orchestrator.submission.call_options import CallOptions


class SendableFlow:
    """A flow, as far as sending it to a worker is concerned."""

    def delay(self, *args: Any, **kwargs: Any) -> PrefectFuture[Any]:
        """Have a worker run the flow; returns once the call is durably queued, inside or outside a flow or task.

        The handle's ``run_id`` is the flow run's id: by it any process can ask for the state and the result. A worker
        that dies is succeeded by another one, which runs the function again under the same id; a retry is a delivery
        after a delay. The result has plain values where the function returned futures.

        Raises:
            ParameterBindError, ParameterTypeError, SerializationError, PayloadTooLarge: nothing was sent.
            BrokerUnavailable: as for a task's ``delay``.
        """
        return send_flow(self, args, kwargs)

    async def adelay(self, *args: Any, **kwargs: Any) -> PrefectFuture[Any]:
        """:meth:`delay` for event loops: never blocks the loop."""
        return await asend_flow(self, args, kwargs)

    def submit(self, *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> PrefectFuture[Any]:
        """:meth:`delay` in the words of tasks.

        Futures anywhere inside the arguments are dependencies: the flow starts when they have completed.

        Args:
            wait_for: further runs that must have completed before.
        """
        return send_flow(self, args, kwargs, wait_for=wait_for)

    async def asubmit(self, *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> PrefectFuture[Any]:
        """:meth:`submit` for event loops: never blocks the loop; confirmed when it returns (ours)."""
        return await asend_flow(self, args, kwargs, wait_for=wait_for)

    def apply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        wait_for: Iterable[Any] | None = None,
        countdown: float | timedelta | None = None,
        eta: datetime | None = None,
        expires: float | timedelta | datetime | None = None,
        priority: str | None = None,
        queue: str | None = None,
        idempotency_key: str | None = None,
    ) -> PrefectFuture[Any]:
        """:meth:`delay` with options of the call, which mean what they mean for a task."""
        options = CallOptions.checked(countdown, eta, expires, priority, queue, idempotency_key)
        return send_flow(self, args, dict(kwargs or {}), wait_for=wait_for, options=options)
