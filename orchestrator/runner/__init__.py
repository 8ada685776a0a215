"""Serving deployments: a process that registers them and runs their flow runs.

>>> from orchestrator.runner import Runner
>>> Runner(name="nightly", limit=2).limit
2
"""

from __future__ import annotations

from orchestrator.runner.runner import Runner
from orchestrator.runner.serving import aserve, serve

__all__ = ["Runner", "aserve", "serve"]
