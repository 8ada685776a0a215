"""Which storage a run's result goes to: the run's own option, else that of the flow around it, else the setting's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from orchestrator.errors import ResultStorageError
from orchestrator.runnables.options import RunnableOptions


class Around(NamedTuple):
    """What the flow around a run says of results; ``None``: nothing."""

    storage: Any = None
    serializer: str | None = None


def around(flow_run: Any) -> Around | None:
    """What the flow runs around a line say, the innermost first; ``None``: nothing of a storage.

    Args:
        flow_run: the innermost one (a ``FlowRun``), or ``None``.
    """
    serializer: str | None = None
    while flow_run is not None:
        options = flow_run.flow.options
        if options.persist_result is False:
            return None
        serializer = serializer or options.result_serializer
        if options.result_storage is not None:
            return Around(options.result_storage, serializer)
        flow_run = flow_run.parent
    return None


class Keeping(NamedTuple):
    """How a result is kept in a storage."""

    place: str
    serializer: str | None
    in_memory: bool


def keeping_of(options: RunnableOptions, outer: Around | None) -> Keeping | None:
    """How the result of a run is kept; ``None``: in the store, as any result is.

    Args:
        options: of the task or flow.
        outer: what is around it.

    Raises:
        ResultStorageError: what was given is no storage that others find.
    """
    if options.persist_result is False:
        return None
    storage = options.result_storage
    if storage is None and outer is not None:
        storage = outer.storage
    if storage is None and options.keeps_in_storage:
        storage = default_storage() or (folder_of_this_user() if options.result_storage_key is not None else None)
    place = _place_of(storage) if storage is not None else ""
    if not place:
        return None
    serializer = options.result_serializer or (outer.serializer if outer is not None else None) or default_serializer()
    return Keeping(place, serializer, options.cache_result_in_memory)


def default_storage() -> str | None:
    """The setting's."""
    from orchestrator.settings import current

    return current().default_result_storage


def default_serializer() -> str | None:
    """The setting's format."""
    from orchestrator.settings import current

    return current().default_result_serializer


def default_place() -> str | None:
    """The place of the setting's storage; ``None`` without one. Raises ResultStorageError."""
    storage = default_storage()
    try:
        return _place_of(storage) if storage else None
    except ResultStorageError as error:
        raise ResultStorageError(f"ORCHESTRATOR_DEFAULT_RESULT_STORAGE: {error}") from None


def folder_of_this_user() -> str:
    """Where files go that were given names and no storage, as in Prefect."""
    from brokers.private_server import default_home
    from orchestrator.settings import current

    return str((current().home or default_home()) / "storage")


def to_send(options: RunnableOptions, changed: Mapping[str, Any], outer: Around | None) -> dict[str, Any]:
    """What a call carries to its worker of these options: the storage as its place, which needs no class there.

    Args:
        options: of the task or flow that is sent.
        changed: those that differ from what its module says.
        outer: what is around the line that sends it.

    Raises:
        ResultStorageError: a storage that no worker could find.
    """
    sent: dict[str, Any] = {}
    storage = changed.get("result_storage")
    if storage is None and options.result_storage is None and options.persist_result is not False and outer is not None:
        storage = outer.storage
        if options.result_serializer is None and outer.serializer is not None:
            sent["result_serializer"] = outer.serializer
    if storage is not None:
        place = _place_of(storage)
        sent |= {"result_storage": place} if place else {"result_storage": None, "persist_result": False}
    return sent


def _place_of(storage: Any) -> str:
    from orchestrator.result_storage.places import place_of  # blocks, which most programs do without

    return place_of(storage)
