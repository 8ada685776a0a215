"""The command ``orchestrator``: one file per noun, loaded when it is used."""

from __future__ import annotations

from task_workers.cli.group import main

__all__ = ["main"]
