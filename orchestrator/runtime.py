"""What runs here, as attributes: ``from orchestrator.runtime import deployment, flow_run, task_run``.

Outside a run the values are empty: ``None``, ``[]``, ``{}`` or 0. Follows Prefect 3 (``prefect.runtime``).
"""

from __future__ import annotations

from orchestrator.execution.runtime_values import deployment, flow_run, task_run

__all__ = ["deployment", "flow_run", "task_run"]
