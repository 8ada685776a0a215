"""The environment of what is started for a run: how it reaches the store, and which call is its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from orchestrator.client.project import VARIABLE as PROJECT
from orchestrator.configuration.names import variable_of
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings

RUN_ID, TICKET, HOLDER = "ORCHESTRATOR__FLOW_RUN_ID", "ORCHESTRATOR__TICKET", "ORCHESTRATOR__WORKER"
_OF_THE_SERVER: Final = frozenset(("server_token", "server_password", "api_url", "api_key", "default_work_pool"))
_OF_THIS_MACHINE: Final = frozenset(("home", "redis_server", "project"))  # of use to processes of the private server


class OwnCall(NamedTuple):
    """The call that a process was started for.

    Attributes:
        run_id, ticket: of the call.
        holder: the consumer that held it then.
    """

    run_id: str
    ticket: str
    holder: str


def variables_for(call: OwnCall, environ: Mapping[str, str], private: bool) -> dict[str, str]:
    """What is added to the environment of a run.

    Args:
        call: its own.
        environ: of the worker, in which all settings that it was given are.
        private: the store is the private server of this user.

    >>> found = variables_for(OwnCall("1", "p-0123abcd-0:ds 1-0", "w"), {"ORCHESTRATOR_NAMESPACE": "shop"}, False)
    >>> found["ORCHESTRATOR_NAMESPACE"], found["ORCHESTRATOR__TICKET"]
    ('shop', 'p-0123abcd-0:ds 1-0')
    """
    left_out = _OF_THE_SERVER | (frozenset() if private else _OF_THIS_MACHINE)
    wanted = [variable_of(name) for name in Settings.model_fields if name not in left_out]
    found = {name: environ[name] for name in wanted if environ.get(name)}
    if private:
        found |= {name: environ[name] for name in (PROJECT, "HOME", "XDG_STATE_HOME") if environ.get(name)}
    return found | {RUN_ID: call.run_id, TICKET: call.ticket, HOLDER: call.holder}


def own_call(run_id: str | None = None) -> OwnCall:
    """The call that this process was started for.

    Args:
        run_id: that somebody expects it to be.

    Raises:
        ConfigurationError: nobody has started it for one.
    """
    found = OwnCall(*(os.environ.get(name, "") for name in (RUN_ID, TICKET, HOLDER)))
    if not all(found):
        raise ConfigurationError(
            f"this process was not started for a flow run: a worker sets {RUN_ID}, {TICKET} and {HOLDER} in what it "
            "starts. To run a deployment: orchestrator deployment run FLOW/NAME"
        )
    if run_id is not None and run_id != found.run_id:
        raise ConfigurationError(f"this process was started for the flow run {found.run_id}, not for {run_id}")
    return found
