"""Blocks as parameters of deployments: a reference is kept and travels, the block is read where the run is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.deployments.lookup import find_deployment
from orchestrator.errors import ParameterTypeError
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from tests.blocks.test_secrets import SECRET
from tests.support.apps.blocks import ShopCredentials, greeting
from tests.support.command_line import Command
from tests.support.store_dump import everything_in, traces_of

WRAPS: dict[str, Any] = {"it": lambda one: one, "list": lambda one: [one], "dict": lambda one: {"a": (one,)}}


@contextmanager
def serving(fleet: Fleet, name: str) -> Iterator[None]:
    workers = LocalWorkers(fleet, SlotsOptions((find_deployment(fleet.broker, name).run_queue,), 1))
    workers.start()
    try:
        yield
    finally:
        workers.stop(5)


def test_a_reference_travels_and_the_run_has_the_block(fleet: Fleet, command: Command) -> None:
    main, other = ShopCredentials(user="ann", password=SECRET), ShopCredentials(user="bob", password=SECRET)
    main.save("main")
    other.save("other")
    greeting.to_deployment("nightly", parameters={"credentials": main}).apply()
    record = find_deployment(fleet.broker, "greeting/nightly")
    reference = {"$ref": {"block_document_id": str(main._block_document_id)}}
    assert record.parameters == {"credentials": reference}
    with serving(fleet, "greeting/nightly"):
        run = run_deployment("greeting/nightly", parameters={"others": [other], "note": "!"}, timeout=30)
        assert run.state.is_completed(), run.state
        assert run.state.result() == f"ann, bob: {len(SECRET)} !"
        ShopCredentials(user="eve", password="x").save("main", overwrite=True)  # read where the run is
        assert run_deployment("greeting/nightly", timeout=30).state.result() == "eve: 1 "
        given = {"credentials": {"$ref": {"block_document_id": str(other._block_document_id)}}}
        done = command("deployment", "run", "greeting/nightly", "--params", json.dumps(given), "--watch")
        assert done.returncode == 0, done.stderr
    shown = (
        command("flow-run", "inspect", str(run.id)).stdout + command("deployment", "inspect", "greeting/nightly").stdout
    )
    assert SECRET not in shown
    assert traces_of(SECRET, everything_in(fleet)) == []


def test_a_block_that_is_gone_is_a_crashed_run_that_names_the_parameter(fleet: Fleet) -> None:
    credentials = ShopCredentials(user="ann", password=SECRET)
    credentials.save("short-lived")
    greeting.to_deployment("gone", parameters={"credentials": credentials}).apply()
    ShopCredentials.delete("short-lived")
    with serving(fleet, "greeting/gone"):
        run = run_deployment("greeting/gone", timeout=30)
    assert run.state.name == "Crashed"
    assert "the parameter 'credentials' is a block: there is no block with the id" in str(run.state.message)


@pytest.mark.parametrize(
    "wrap", [lambda one: one, lambda one: [one], lambda one: {"a": (one,)}], ids=["it", "list", "dict"]
)
def test_a_block_that_is_not_saved_is_refused_before_anything_is_kept(fleet: Fleet, wrap: Any) -> None:
    credentials = ShopCredentials(user="ann", password=SECRET)
    with pytest.raises(ParameterTypeError, match="'credentials' is a block that is not in the store") as raised:
        greeting.to_deployment("x", parameters={"credentials": wrap(credentials)}).apply()
    assert SECRET not in str(raised.value)
    assert traces_of(SECRET, everything_in(fleet)) == []
