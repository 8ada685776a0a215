"""A result that does not fit the parameter it is passed to."""

from __future__ import annotations

import pytest

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
