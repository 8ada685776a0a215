"""Models of the JSON API's responses about the fleet."""

from __future__ import annotations

from pydantic import Field

from orchestrator.server.api.requests import Model


class Overview(Model):
    """The figures of the start page."""

    task_runs: dict[str, int] = Field(description="State type: number of runs that are kept")
    queues: int
    waiting: int
    workers: int
    running: int
    dead: int
    scheduled: int


class ServerVersion(Model):
    """Which server this is."""

    version: str
    python: str
    read_only: bool


class Setting(Model):
    """A setting, without secrets."""

    name: str
    variable: str
    value: str
    meaning: str


class Ready(Model):
    """Whether the server responds; needs no token and reveals nothing else."""

    ready: bool


class QueueDone(Model):
    """Result of a command to a queue."""

    name: str
    purged: int | None = None


class WorkersDone(Model):
    """The workers that a command went to."""

    name: str
