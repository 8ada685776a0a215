"""Figures for Prometheus: what a worker's processes count, and what the store knows of the whole fleet.

Counting costs about a microsecond per call and is done only where somebody asked for it (``--metrics-port``). A child
counts in memory that it shares with its supervisor (``cells``, ``recording``), so that nothing is sent and nothing is
lost when it dies. The pages are made when they are asked for (``families``, ``page``); only they need
``prometheus-client`` (``pip install 'orchestrator[metrics]'``).

    from orchestrator.observability.metrics import fleet_page

    body, content_type = fleet_page(fleet, request.headers.get("accept", ""))
"""

from __future__ import annotations

from orchestrator.observability.metrics.page import check_installed, fleet_page, worker_page

__all__ = ["check_installed", "fleet_page", "worker_page"]
