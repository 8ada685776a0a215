"""``prefect.utilities.visualization``, see :meth:`orchestrator.flows.Flow.visualize`."""

from orchestrator.runs.drawing import (
    FlowVisualizationError,
    GraphvizExecutableNotFoundError,
    VisualizationUnsupportedError,
)

__all__ = ["FlowVisualizationError", "GraphvizExecutableNotFoundError", "VisualizationUnsupportedError"]
