"""A fleet for a while: this process, and those that it starts meanwhile, use a private server in a folder of its own.

For tests and for the demo, which must not meet the calls that their user has waiting elsewhere.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from brokers.private_server import EmbeddedServer, stop_lasting
from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.configuration.names import variable_of
from orchestrator.configuration.profiles_file import PATH_VARIABLE
from orchestrator.configuration.sources import PROFILE_VARIABLE
from orchestrator.settings import Settings, use

_SERVERS = ("home", "redis_url", "broker_url")


@contextmanager
def throwaway_fleet(**settings: Any) -> Iterator[Fleet]:
    """The process's fleet, for the length of the block, is one of its own; the one before is restored.

    Args:
        settings: as for :class:`orchestrator.settings.Settings`. With ``home`` or ``redis_url`` an existing server is
            used; otherwise there is a new one, whose processes and files are gone when the block ends.

    The settings are in the environment as well, so that programs started in the block belong to the same fleet.
    """
    with ExitStack() as stack:
        values = {"namespace": Settings.model_fields["namespace"].default, **dict.fromkeys(_SERVERS), **settings}
        if not any(values[name] for name in _SERVERS):
            values["home"] = stack.enter_context(temporary_home())
        stack.enter_context(_exported(values))
        fleet = Fleet(stack.enter_context(use(Settings(**values))))
        stack.callback(fleet.close)
        stack.callback(use_fleet, use_fleet(fleet))
        yield fleet


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A new folder with a private server that answers; stopped and removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="orchestrator-")).resolve()
    server = EmbeddedServer(home)
    try:
        server.ensure()
        yield home
    finally:
        try:
            server.release()
            stop_lasting(home)
        finally:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _exported(settings: Mapping[str, Any]) -> Iterator[None]:
    wanted = {variable_of(name): value for name, value in settings.items()}
    wanted |= {PATH_VARIABLE: os.devnull, PROFILE_VARIABLE: None}  # a profile of the user holds for none of them
    before = {variable: os.environ.pop(variable, None) for variable in wanted}
    os.environ.update({variable: str(value) for variable, value in wanted.items() if value is not None})
    try:
        yield
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value
