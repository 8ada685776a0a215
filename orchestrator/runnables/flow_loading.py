"""Flows from files and modules, by entrypoints as Prefect writes them: ``nightly.py:load``, ``shop.flows.load``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestrator.errors import MissingFlowError, UnspecifiedFlowError
from orchestrator.flows import Flow, flow
from orchestrator.runnables.module_loading import flows_in, module_of_file, object_of


def load_flow_from_entrypoint(entrypoint: str, use_placeholder_flow: bool = True) -> Flow[..., Any]:
    """The flow of an entrypoint: ``path/file.py:function``, ``package.module:function`` or ``package.module.function``.

    Args:
        entrypoint: where it is written; ``Class.method`` is fine for the function.
        use_placeholder_flow: accepted; a script that fails is an error here.

    Raises:
        MissingFlowError: nothing of that name is there, or it is no flow.
        ScriptError: the file raised an exception.

    Follows Prefect 3 (``prefect.flows.load_flow_from_entrypoint``).
    """
    found = object_of(entrypoint)
    if not isinstance(found, Flow):
        raise MissingFlowError(
            f"{entrypoint!r} is {found!r}, which is no flow; load_function_and_convert_to_flow() makes one"
        )
    return found


def load_function_and_convert_to_flow(entrypoint: str) -> Flow[..., Any]:
    """The function of an entrypoint, made a flow; a flow as it is. Raises as :func:`load_flow_from_entrypoint`."""
    found = object_of(entrypoint)
    return found if isinstance(found, Flow) else flow(log_prints=True)(found)


def load_flow_arguments_from_entrypoint(entrypoint: str, arguments: set[str] | None = None) -> dict[str, Any]:
    """The options that a flow was given, by name; only those asked for, if any."""
    options = load_flow_from_entrypoint(entrypoint).options
    names = arguments if arguments is not None else {"name", "description", "version", "retries", "log_prints"}
    values = {name: getattr(options, name) for name in names if hasattr(options, name)}
    return {name: value for name, value in values.items() if value is not None}


def is_entrypoint_async(entrypoint: str) -> bool:
    """Whether the flow of an entrypoint is async."""
    return load_function_and_convert_to_flow(entrypoint).isasync


def load_flows_from_script(path: str | Path) -> list[Flow[..., Any]]:
    """All flows that a file defines. Raises ScriptError."""
    return flows_in(module_of_file(Path(path)))


def load_flow_from_script(path: str | Path, flow_name: str | None = None) -> Flow[..., Any]:
    """One flow of a file: the one of that name, or the only one. Raises as :func:`select_flow`, and ScriptError."""
    return select_flow(load_flows_from_script(path), flow_name, f"in {str(path)!r}")


def load_flow_from_text(script_contents: str, flow_name: str) -> Flow[..., Any]:
    """A flow of a script that is given as text. Raises as :func:`load_flow_from_script`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"flow_script_{abs(hash(script_contents)):x}.py"
        path.write_text(script_contents)
        return load_flow_from_script(path, flow_name)


def select_flow(
    flows: Iterable[Flow[..., Any]], flow_name: str | None = None, from_message: str | None = None
) -> Flow[..., Any]:
    """The flow of that name among these, or the only one.

    Raises:
        MissingFlowError: there is none.
        UnspecifiedFlowError: there are several, and no name was given.
    """
    by_name = {found.name: found for found in flows}
    where = f" {from_message}" if from_message else ""
    if not by_name:
        raise MissingFlowError(f"there are no flows{where}")
    if flow_name is None:
        if len(by_name) > 1:
            raise UnspecifiedFlowError(f"there are several flows{where} ({', '.join(by_name)}): say which one")
        return next(iter(by_name.values()))
    if flow_name not in by_name:
        raise MissingFlowError(f"there is no flow {flow_name!r}{where}; there are: {', '.join(by_name)}")
    return by_name[flow_name]
