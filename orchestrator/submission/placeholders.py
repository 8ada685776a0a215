"""What stands for futures, states and annotated values in the arguments of a call that is sent."""

from __future__ import annotations

from typing import Any

from orchestrator import serializers
from orchestrator.client.map_list import MapFutureList
from orchestrator.errors import SerializationError, UpstreamTaskError
from orchestrator.futures import LocalFuture, PrefectFuture, PrefectFutureList
from orchestrator.runnables.annotations import allow_failure, opaque, quote, unmapped
from orchestrator.runs.nested_values import replace_nested
from orchestrator.serializers.wire import HANDLE, ExtType
from orchestrator.states import State


def _pack_future(future: PrefectFuture[Any], packing: Any) -> Any:
    if isinstance(future, LocalFuture):
        return _pack_state(_local_state(future), packing)
    return packing.upstream(future.run_id, False)


def _pack_map(futures: MapFutureList[Any], packing: Any) -> Any:
    """The same as one whose handles are all made; packed as it is, it would be read past its methods."""
    return PrefectFutureList(futures)


def _local_state(future: LocalFuture[Any]) -> State[Any]:
    """The end of a run that the store does not know: its result goes along, since nobody could ask for it."""
    if not future.settled:
        raise SerializationError(
            f"run {future.run_id} is run by a task runner of this process and has not ended: a worker elsewhere cannot "
            "wait for it; pass future.result()"
        )
    return future.state


def _pack_allow_failure(wrapped: Any, packing: Any) -> Any:
    def lenient(part: Any) -> Any:
        if isinstance(part, LocalFuture):
            return _local_state(part).result(raise_on_failure=False)
        if isinstance(part, PrefectFuture):
            return packing.upstream(part.run_id, True)
        return part.result(raise_on_failure=False) if isinstance(part, State) else part

    return replace_nested(wrapped.value, lenient)


class _Kept:
    """A future that stays one: it is no dependency of the call."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


def _pack_quote(quoted: quote, packing: Any) -> Any:
    return replace_nested(quoted.value, lambda part: _Kept(part.run_id) if isinstance(part, PrefectFuture) else part)


def _pack_state(state: State[Any], packing: Any) -> Any:
    if state.is_completed():
        return state.outcome()
    raise UpstreamTaskError(
        f"an argument is {state!r}, which did not complete; wrap it in allow_failure()", state.task_run_id
    )


def register() -> None:
    """Teach the packer what stands for futures, states and annotated values in arguments."""
    serializers.register_replacement(PrefectFuture, _pack_future)
    serializers.register_replacement(MapFutureList, _pack_map)
    serializers.register_replacement(allow_failure, _pack_allow_failure)
    serializers.register_replacement(State, _pack_state)
    serializers.register_replacement(unmapped, lambda wrapped, packing: wrapped.value)
    serializers.register_replacement(quote, _pack_quote)
    serializers.register_replacement(opaque, lambda wrapped, packing: wrapped.value)
    serializers.register_replacement(_Kept, lambda kept, packing: ExtType(HANDLE, kept.run_id.encode()))
    serializers.set_handle_factory(PrefectFuture)
