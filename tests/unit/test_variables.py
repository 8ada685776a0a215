"""Variables: any JSON under a name, written once unless one says so, read each time, and filled into parameters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import flow, variables
from orchestrator.client.fleet import current_fleet
from orchestrator.deployments import run_deployment
from orchestrator.errors import ParameterTypeError, SerializationError
from orchestrator.testing import inline
from orchestrator.variables import Variable


@pytest.fixture(autouse=True)
def store() -> Iterator[None]:
    with inline():
        yield


def names() -> list[str]:
    return sorted(one.name for one in variables.records(current_fleet().broker)[1])


@pytest.mark.parametrize(
    "value",
    [42, 0.5, True, None, "", "ünïcødé \ud83d \x00", [], {"a": [1, {"b": None}]}, 10**4000, "x" * 5000, ["é" * 4000]],
    ids=lambda value: type(value).__name__,
)
def test_any_json_comes_back_as_it_was(value: Any) -> None:
    Variable.set("it", value)
    assert Variable.get("it", "another") == value


@pytest.mark.parametrize(
    "value",
    [
        "x" * 5001,
        ["x" * 4999],
        float("nan"),
        float("inf"),
        {1: "a"},
        {"a": {1, 2}},
        b"bytes",
        object(),
        10**5000,
        json.loads("[" * 200 + "]" * 200),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_or_is_too_long_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="value of a variable"):
        Variable.set("it", value)
    assert names() == []


def test_a_value_that_contains_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(ValueError, match="nested too deeply"):
        Variable.set("it", ring)


@pytest.mark.parametrize("name", ["", "Upper", "two words", "a.b", "é", "x" * 256, None, "a\n"])
def test_a_name_that_cannot_be_one_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="no name for a variable"):
        Variable.set(name, 1)
    assert names() == []


@pytest.mark.parametrize("tags", ["etl", [""], [3], ["x" * 201], [str(n) for n in range(201)]])
def test_tags_are_a_list_of_texts(tags: Any) -> None:
    with pytest.raises(ValueError, match="tags"):
        Variable.set("it", 1, tags=tags)


def test_one_that_is_there_is_changed_only_on_request() -> None:
    made = Variable.set("answer", 41, tags=["a", "b", "a"])
    assert (made.name, made.value, made.tags) == ("answer", 41, ["a", "b"])
    with pytest.raises(ValueError, match="'answer' already exists"):
        Variable.set("answer", 42)
    assert Variable.get("answer") == 41
    Variable.set("answer", 42, overwrite=True)
    (after,) = variables.records(current_fleet().broker)[1]
    assert (after.value, after.tags, after.id) == (42, [], made.id)
    assert after.created is not None
    assert after.updated is not None


def test_what_is_not_there_is_the_default_and_unset_says_whether_there_was_one() -> None:
    assert Variable.get("gone") is None
    assert Variable.get("gone", default=3) == 3
    assert variables.get("gone", 4) == 4
    Variable.set("none", None)
    assert Variable.get("none", default=3) is None
    assert Variable.unset("none") is True
    assert Variable.unset("none") is False
    assert Variable.get("none", default=3) == 3


def test_in_a_coroutine_the_same_names_are_awaited() -> None:
    async def main() -> list[Any]:
        await Variable.set("answer", 42)
        with pytest.raises(ValueError, match="already exists"):
            await Variable.set("answer", 43)
        seen = [await Variable.get("answer"), await Variable.aget("gone", 1), Variable.get("answer", _sync=True)]
        return [*seen, await Variable.unset("answer"), await Variable.aunset("answer")]

    assert asyncio.run(main()) == [42, 1, 42, True, False]


@pytest.mark.parametrize("damage", [b"", b"\x93", b"\x92\x01\x81\xa5value\xa2{]", b"\x92\x01\x80"])
def test_a_damaged_one_breaks_no_list_and_is_told_where_it_is_read(damage: bytes) -> None:
    Variable.set("good", 1)
    bad = Variable.set("bad", 2)
    current_fleet().broker.documents.write(variables.KIND, bad.id, {"d": damage, "c": b"\xff"})
    found = {one.name: one for one in variables.records(current_fleet().broker)[1]}
    assert (found["good"].value, found["good"].trouble) == (1, "")
    assert "damaged" in found["bad"].trouble
    with pytest.raises(SerializationError, match="'bad' cannot be read here"):
        Variable.get("bad", default=3)
    Variable.set("bad", 4, overwrite=True)
    assert Variable.get("bad") == 4


@flow
def report(city: str, days: int = 1, anything: Any = None) -> list[Any]:
    return [city, days, anything]


def wish(name: Any, key: str = "__prefect_kind") -> dict[str, Any]:
    return {key: "workspace_variable", "variable_name": name}


def test_parameters_are_filled_in_from_variables_when_the_run_is_made() -> None:
    report.to_deployment("nightly", parameters={"city": wish("city")}).apply()
    Variable.set("city", "Oslo")
    Variable.set("days", 3)
    given = {"days": wish("days", "__orchestrator_kind"), "anything": [{"deep": wish("city")}]}
    assert run_deployment("report/nightly", parameters=given).state.result() == ["Oslo", 3, [{"deep": "Oslo"}]]
    Variable.set("city", "Rome", overwrite=True)
    assert run_deployment("report/nightly").state.result() == ["Rome", 1, None]


def test_a_variable_that_is_missing_damaged_or_of_a_wrong_type_makes_no_run() -> None:
    report.to_deployment("nightly", parameters={"city": "Oslo"}).apply()
    Variable.set("days", "many")
    bad = Variable.set("bad", 2)
    current_fleet().broker.documents.write(variables.KIND, bad.id, {"d": b"?"})
    for given, said in (
        (wish("gone"), "orchestrator variable set gone VALUE"),
        (wish(None), "variable_name is missing"),
        (wish("days"), "'many' is not of type 'integer'"),
        (wish("bad"), "cannot be read here"),
    ):
        with pytest.raises(ParameterTypeError, match=said):
            run_deployment("report/nightly", parameters={"days": given})
