"""``my_flow.serve(...)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from orchestrator.deployments.flow_methods import DeployableFlow


class ServableFlow(DeployableFlow):
    """A flow, as far as serving it is concerned."""

    def serve(
        self,
        name: str | None = None,
        interval: Any = None,
        cron: str | Iterable[str] | None = None,
        rrule: str | Iterable[str] | None = None,
        paused: bool | None = None,
        schedule: Any = None,
        schedules: Iterable[Any] | None = None,
        global_limit: Any = None,
        triggers: Iterable[Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        enforce_parameter_schema: bool | None = None,
        pause_on_shutdown: bool = False,
        print_starting_message: bool = True,
        limit: int | None = None,
        webserver: bool = False,
        entrypoint_type: Any = None,
        timezone: str | None = None,
        anchor_date: datetime | None = None,
    ) -> None:
        """Make a deployment of this flow and run its flow runs until SIGTERM or Ctrl-C, see :func:`orchestrator.serve`.

        Args:
            name: of the deployment; the flow's unless given.
            limit: flow runs at once in this process; ``None``: 5.
            global_limit: flow runs of the deployment at once, wherever they run: a number or ConcurrencyLimitConfig.
            pause_on_shutdown, print_starting_message, webserver: see :class:`orchestrator.runner.Runner`.
            paused, parameters, timezone: and the others: see :meth:`to_deployment`.

        Raises:
            ValueError: a name, schedule or limit that is not allowed.
            ParameterBindError, ParameterTypeError: parameters that the flow does not take; nothing was written.
            RuntimeError: an event loop runs here: ``await aserve(my_flow.to_deployment(...))``.
            BrokerError: the server does not answer.

        Follows Prefect 3 (``Flow.serve``); ``timezone`` and ``anchor_date`` are ours.
        """
        from orchestrator.runner.serving import serve_flow

        given = {key: value for key, value in locals().items() if key not in ("self", "serve_flow", "name")}
        serve_flow(self, name, **given)
