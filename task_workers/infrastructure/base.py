"""What every kind of infrastructure can do: start something for a run, look at it, follow its output, end it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

from orchestrator.errors import OrchestratorError
from orchestrator.work_pools.job import Job


class InfrastructureError(OrchestratorError):
    """Docker or Kubernetes cannot do what was asked of it; the message has its own words."""


class Handle(NamedTuple):
    """What was started.

    Attributes:
        kind: "container" or "job".
        name: its id or name.
        namespace: of a Job.
    """

    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Phase(Enum):
    """How far it has come."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    GONE = "gone"


class Condition(NamedTuple):
    """How it is.

    Attributes:
        phase: how far it has come.
        exit_code: of what has ended, where that is known.
        reason: in its own words, such as ImagePullBackOff.
    """

    phase: Phase
    exit_code: int | None = None
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether none of its code runs any more, or will."""
        return self.phase in (Phase.ENDED, Phase.GONE)


GONE: Final = Condition(Phase.GONE)


class Wanted(NamedTuple):
    """What is to be started for a run.

    Attributes:
        job: of its pool.
        name: for people.
        labels: by which it is found again.
        env: beside the job's environment, which counts where both have a variable.
    """

    job: Job
    name: str
    labels: Mapping[str, str]
    env: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """All of it."""
        merged = {**self.env, **self.job.env}
        return {name: value for name, value in merged.items() if value is not None}


class Found(NamedTuple):
    """Something that a worker has started, perhaps another one."""

    handle: Handle
    labels: Mapping[str, str]


class Infrastructure(Protocol):
    """Docker, or Kubernetes. Every method may raise InfrastructureError."""

    noun: str
    """What is started, for messages."""

    def check(self) -> None:
        """Whether its program is here."""

    def start(self, wanted: Wanted) -> Handle:
        """Start it.

        Raises:
            ConfigurationError: what is wanted cannot be started.
        """

    def look(self, handle: Handle) -> Condition:
        """How it is."""

    def follow(self, handle: Handle, *, from_now: bool = False) -> Output:
        """Its output until it has ended, from the beginning or from now on."""

    def end(self, handle: Handle, grace_seconds: float) -> None:
        """Have its processes end, killed after a while; returns when they are gone. Once more changes nothing."""

    def remove(self, handle: Handle) -> None:
        """Remove what is left of it, running or not. Once more changes nothing."""

    def find(self, labels: Mapping[str, str], namespaces: Sequence[str]) -> list[Found]:
        """All that has these labels; of Jobs, in these namespaces."""


class Output(Protocol):
    """Lines that something writes."""

    def __iter__(self) -> Iterator[str]: ...

    def close(self) -> None:
        """Follow no longer."""
