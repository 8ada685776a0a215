"""``serve`` and ``aserve``: register deployments, say so, and run what comes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from orchestrator.client.fleet import current_fleet
from orchestrator.client.server_wait import wait_for_server
from orchestrator.runnables.loading import is_loading
from orchestrator.runner.banner import starting_message
from orchestrator.runner.runner import Runner
from orchestrator.runner.served_deployment import check
from orchestrator.runner.stop_signals import obeying_signals


def serve(
    *deployments: Any,
    pause_on_shutdown: bool = False,
    print_starting_message: bool = True,
    limit: int | None = None,
    **runner: Any,
) -> None:
    """Register these deployments and run their flow runs in child processes of this one, until SIGTERM or Ctrl-C.

    Runs that are at work then are finished within the shutdown timeout, the rest is left to whoever serves the same
    deployments. Several processes may serve one deployment and share its runs. A process that is killed costs nothing
    but time: its runs begin again in another one, or when there is one.

    Flows that are in a file run in processes that have loaded the file under another name than ``__main__``: there this
    call does nothing, whether it stands below ``if __name__ == "__main__"`` or not. Flows of a notebook run in threads
    of this process.

    Args:
        deployments: what :meth:`orchestrator.flows.Flow.to_deployment` makes.
        pause_on_shutdown: accepted; see :class:`orchestrator.runner.Runner`.
        print_starting_message: say on standard output what is served.
        limit: flow runs at once; ``None``: 5.
        runner: further arguments of :class:`orchestrator.runner.Runner`.

    Raises:
        ConfigurationError: there is none among them, or one is no deployment, or belongs to a work pool.
        ValueError: two have the same name.
        RuntimeError: an event loop runs here: ``await aserve(...)``.
        ScriptError: the code of a flow cannot be loaded in another process.
        BrokerError: the server refuses us, or ceases to answer meanwhile. One that does not answer yet is waited for.

    Follows Prefect 3 (``prefect.serve``).
    """
    if is_loading():
        return
    _refuse_on_a_loop()
    made = _made(deployments, pause_on_shutdown, limit, runner)
    if not _server_answers():
        return
    for deployment in deployments:
        made.add_deployment(deployment)
    _say(made, print_starting_message)
    made.run()


async def aserve(
    *deployments: Any,
    pause_on_shutdown: bool = False,
    print_starting_message: bool = True,
    limit: int | None = None,
    **runner: Any,
) -> None:
    """:func:`serve` on an event loop, which goes on meanwhile; ends also when the awaiting task is cancelled."""
    if is_loading():
        return
    made = _made(deployments, pause_on_shutdown, limit, runner)
    if not await _aserver_answers():
        return
    for deployment in deployments:
        await made.aadd_deployment(deployment)
    _say(made, print_starting_message)
    await made.start()


def serve_flow(
    flow: Any,
    name: str | None,
    *,
    pause_on_shutdown: bool = False,
    print_starting_message: bool = True,
    limit: int | None = None,
    webserver: bool = False,
    global_limit: Any = None,
    **deployment: Any,
) -> None:
    """What :meth:`orchestrator.flows.Flow.serve` does: one deployment of one flow."""
    if is_loading():
        return
    _refuse_on_a_loop()
    if global_limit is not None:
        deployment["concurrency_limit"] = global_limit
    made = flow.to_deployment(name or flow.name, **deployment)
    serve(
        made,
        pause_on_shutdown=pause_on_shutdown,
        print_starting_message=print_starting_message,
        limit=limit,
        name=made.name,
        webserver=webserver,
    )


def _made(deployments: tuple[Any, ...], pause_on_shutdown: bool, limit: int | None, more: dict[str, Any]) -> Runner:
    check(deployments)
    return Runner(pause_on_shutdown=pause_on_shutdown, limit=limit, **more)


def _server_answers() -> bool:
    """Wait for the server; False when SIGTERM or Ctrl-C comes first."""
    stopped = threading.Event()
    with obeying_signals(stopped.set):
        return wait_for_server(current_fleet(), stopped, "serve()", "orchestrator.runner")


async def _aserver_answers() -> bool:
    stopped = threading.Event()
    try:
        with obeying_signals(stopped.set):
            fleet = await asyncio.to_thread(current_fleet)
            return await asyncio.to_thread(wait_for_server, fleet, stopped, "aserve()", "orchestrator.runner")
    finally:
        stopped.set()  # also when the awaiting task is cancelled: the thread goes on until then


def _say(runner: Runner, wanted: bool) -> None:
    if wanted:
        print(starting_message(runner.deployments), flush=True)


def _refuse_on_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("serve() would block the event loop that runs here: await aserve(...) instead")
