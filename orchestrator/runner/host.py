"""What runs the flow runs of served deployments: found by its name, since it starts processes, which is another floor.

An installed distribution names it in the entry-point group ``orchestrator.hosts``; ``serve`` there is a callable that
makes a :class:`Host` of :class:`ServedFlows`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Protocol

from orchestrator.errors import ConfigurationError

GROUP: Final = "orchestrator.hosts"
OURS: Final = EntryPoint("serve", "task_workers.flow_host:FlowHost", GROUP)  # where no installed metadata names one


@dataclass(frozen=True, slots=True)
class ServedFlows:
    """What is to be served.

    Args:
        name: of the server, for people.
        queues: of deployments whose flows child processes can load.
        code: modules and files that children have loaded before they run anything.
        local_queues: of deployments whose flows are in no file: they run in this process.
        limit: flow runs at once, of each of the two kinds.
        run_once: end as soon as nothing is left to run.
        health_port: where probes are answered; ``None``: nowhere.
        listen: address of that port.
        deployments: their ids.
        restore: writes again what the store has lost of them; to be called when some of them are not there.
        pool_name: of the work pool whose deployments these are, those that it gets later as well.
    """

    name: str
    queues: tuple[str, ...]
    code: tuple[str, ...] = ()
    local_queues: tuple[str, ...] = ()
    limit: int = 5
    run_once: bool = False
    health_port: int | None = None
    listen: str = "127.0.0.1"
    deployments: tuple[str, ...] = ()
    restore: Callable[[], None] = field(default=lambda: None, compare=False)
    pool_name: str = ""


class Host(Protocol):
    """Runs flows until it is stopped."""

    def run(self) -> bool:
        """Work until SIGTERM or Ctrl-C (in the main thread) or :meth:`stop`; whether all that ran has ended well.

        Raises:
            ScriptError: the code of the flows cannot be loaded in another process.
            BrokerError: the server does not answer at the start.
        """

    def stop(self) -> None:
        """Finish what runs, hand back the rest, and end; a second time at once. From any thread, before the run too."""


def find_host() -> Callable[[ServedFlows], Host]:
    """What makes hosts here.

    Raises:
        ConfigurationError: nothing that is installed can run flows.
    """
    entry = next(iter(entry_points(group=GROUP, name=OURS.name)), OURS)
    try:
        made: Callable[[ServedFlows], Host] = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"no process for flow runs can be started here: {entry.value} of the entry points {GROUP!r} "
            f"cannot be imported ({error})"
        ) from error
    return made
