"""Arguments that tasks validate: results of upstreams that do not fit, and how often a validator runs."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, model_validator

from orchestrator import task
from orchestrator.errors import ParameterTypeError
from orchestrator.testing import inline


@task
def gives_text() -> str:
    return "xyz"


@task(validate_parameters=True)
def wants_number(number: int) -> int:
    return number


def test_the_run_failed_and_says_which_parameter() -> None:
    with inline():
        future = wants_number.submit(gives_text.submit())  # type: ignore[arg-type]
        assert future.state.is_failed()  # the caller's to mend: neither crashed nor a dead letter
        with pytest.raises(ParameterTypeError, match="argument 'number'"):
            future.result()


Doubled = Annotated[int, AfterValidator(lambda number: number * 2)]


class Day(BaseModel):
    """Made from text only."""

    at: date

    @model_validator(mode="before")
    @classmethod
    def from_text(cls, text: Any) -> Any:
        return {"at": date.fromisoformat(text)}


@task(validate_parameters=True)
def doubles(number: Doubled, more: list[Doubled]) -> list[int]:
    return [number, *more]


@task(validate_parameters=True)
def year(day: Day) -> int:
    return day.at.year


SENDERS: dict[str, Any] = {
    "called": lambda task, *args: task(*args),
    "submit": lambda task, *args: task.submit(*args).result(),
    "delay": lambda task, *args: task.delay(*args).result(),
    "apply_async": lambda task, *args: task.apply_async(args).result(),
    "map": lambda task, *args: task.map(*([arg] for arg in args)).result()[0],
}


@pytest.mark.parametrize("how", SENDERS)
def test_arguments_are_converted_once_however_they_travel(how: str) -> None:
    with inline():
        assert SENDERS[how](doubles, 1, [2]) == [2, 4]
        assert SENDERS[how](year, "2026-01-01") == 2026


@pytest.mark.parametrize("how", SENDERS)
def test_arguments_that_do_not_fit_are_refused_where_they_are_sent(how: str) -> None:
    with inline(), pytest.raises(ParameterTypeError, match="argument 'number'"):
        SENDERS[how](doubles, "x", [])


def test_an_iterator_that_checking_empties_is_sent_converted() -> None:
    @task(validate_parameters=True)
    def adds(numbers: list[int]) -> int:
        return sum(numbers)

    with inline():
        assert adds.submit(number for number in (1, 2)).result() == 3  # type: ignore[arg-type]
