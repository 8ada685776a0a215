"""Which task runner runs the calls around a line, and those of a flow run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.client.waiting import wait_for_all
from orchestrator.errors import ConfigurationError, UpstreamTaskError
from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.runs.current import current_flow_run, current_transaction
from orchestrator.runs.drawing import current_drawing, refuse_to_draw
from orchestrator.submission.deferred import DeferredFutureList, futures_to_resolve, not_ready, resolved
from orchestrator.task_runners.base import TaskRunner
from orchestrator.task_runners.drawing_runner import DrawingRunner
from orchestrator.task_runners.fleet_runner import FleetTaskRunner
from orchestrator.task_runners.process_runner import ProcessPoolTaskRunner
from orchestrator.task_runners.thread_runner import ThreadPoolTaskRunner

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike


_outside_flows = FleetTaskRunner()


def map_deferred(
    runner: TaskRunner,
    task: TaskLike,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    wait_for: Iterable[Any] | None,
) -> PrefectFutureList[Any]:
    """A map over the results of runs. Raises as ``Task.map`` does."""
    futures = list(futures_to_resolve([*args, *kwargs.values()]))
    if not all(future.settled for future in futures):
        if isinstance(runner, FleetTaskRunner) and _are_on_the_fleet(futures):
            return runner.map_later(task, args, kwargs, wait_for)
        wait_for_all(futures, None)
    try:
        args = [resolved(value) for value in args]
        kwargs = {name: resolved(value) for name, value in kwargs.items()}
    except UpstreamTaskError as error:
        return not_ready(error)
    return runner.map(task, task.rows(args, kwargs, sent=goes_away(runner)), wait_for)


def _are_on_the_fleet(futures: Iterable[PrefectFuture[Any]]) -> bool:
    from orchestrator.client.fleet import current_fleet

    return all(future.source is current_fleet() for future in futures)


def fleet_runner() -> FleetTaskRunner:
    """Sends calls to the workers of the fleet: the runner around this line if it does, else the one outside flows."""
    here = runner_here()
    return here if isinstance(here, FleetTaskRunner) else _outside_flows


def goes_away(runner: TaskRunner) -> bool:
    """Whether the calls of a runner are packed and run elsewhere, where their arguments are converted."""
    return isinstance(runner, FleetTaskRunner)


def to_be_sent(task: TaskLike, runner: TaskRunner) -> Any:
    """The task as it is sent from inside a transaction: the worker leaves its hooks of transactions to this process."""
    if isinstance(runner, ThreadPoolTaskRunner) or not (task.options.on_commit or task.options.on_rollback):
        return task
    return task.with_options(on_commit=[], on_rollback=[])


def note_sent(task: TaskLike, runner: TaskRunner, futures: Iterable[PrefectFuture[Any]]) -> None:
    """Have the transaction around this line wait for calls, and call their hooks where they cannot stage themselves."""
    in_its_threads = isinstance(runner, ThreadPoolTaskRunner)
    hooks = ((), ()) if in_its_threads else (task.options.on_rollback, task.options.on_commit)
    # The runs of a deferred map are not known before a worker has made them.
    in_store = isinstance(runner, FleetTaskRunner) and not isinstance(futures, DeferredFutureList)
    current_transaction.get().note_sent(futures, hooks, task if in_store else None)


def runner_here() -> TaskRunner:
    """The runner of the flow around this line; outside flows the fleet (Prefect refuses there)."""
    drawing = current_drawing.get()
    if drawing is not None:
        return DrawingRunner(drawing)
    flow_run = current_flow_run.get()
    return flow_run.task_runner if flow_run is not None else _outside_flows


def runner_of_map(on_the_fleet: bool | None) -> TaskRunner:
    """The runner of a map, which may ask for the fleet's."""
    if current_drawing.get() is not None:
        refuse_to_draw("a map")
    return fleet_runner() if on_the_fleet else runner_here()


_for_every_flow: TaskRunner | None = None


@contextmanager
def every_flow_uses(runner: TaskRunner) -> Iterator[None]:
    """Inside the block every flow of this process gets a duplicate of this runner, whatever it asks for (tests)."""
    global _for_every_flow
    before, _for_every_flow = _for_every_flow, runner
    try:
        yield
    finally:
        _for_every_flow = before


def runner_for_flow(chosen: TaskRunner | type | None) -> TaskRunner:
    """A runner of its own for one flow run: of the kind that the flow chose, else what the settings say."""
    chosen = _for_every_flow or chosen
    if chosen is None:
        return default_task_runner()
    runner: TaskRunner = chosen() if isinstance(chosen, type) else chosen.duplicate()
    return runner


def default_task_runner() -> TaskRunner:
    """What the setting ``task_runner`` says."""
    from orchestrator.settings import current

    name = current().task_runner
    makers: dict[str, Callable[[], TaskRunner]] = {
        "fleet": FleetTaskRunner,
        "threads": ThreadPoolTaskRunner,
        "processes": ProcessPoolTaskRunner,
    }
    if name not in makers:
        raise ConfigurationError(f"ORCHESTRATOR_TASK_RUNNER={name!r}: one of {', '.join(makers)}")
    return makers[name]()
