"""What is passed as one of pydantic's secrets arrives, and is shown nowhere on its way."""

from __future__ import annotations

import dataclasses
import logging
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from orchestrator import flow, task
from orchestrator.errors import ParameterBindError, ParameterTypeError
from orchestrator.execution.attempt import Attempt
from orchestrator.runnables.binding import Signature
from orchestrator.serializers import known_types
from orchestrator.testing import inline

HIDDEN = "hunter2-of-the-tests"


@known_types.learn
class Login(BaseModel):
    user: str
    password: SecretStr


@known_types.learn
@dataclasses.dataclass
class Vault:
    key: SecretBytes


def takes(
    a: SecretStr,
    b: SecretStr | None = None,
    c: Annotated[SecretBytes, "of the vault"] = SecretBytes(b""),  # noqa: B008
    d: list[SecretStr] = [],  # noqa: B006
    e: Secret[int] = Secret(1),  # noqa: B008
    f: str = "open",
    g: SecretStr = HIDDEN,  # type: ignore[assignment]
) -> None: ...


def test_parameters_that_are_secrets_are_known_by_their_annotations() -> None:
    assert Signature(takes).secret_names == {"a", "b", "c", "d", "e", "g"}


def test_an_annotation_that_cannot_be_evaluated_is_judged_by_its_text() -> None:
    def fn(a: Any, b: Any) -> None: ...

    fn.__annotations__ = {"a": "Missing[SecretStr]", "b": "Missing"}
    assert Signature(fn).secret_names == {"a"}


def test_the_error_for_arguments_that_do_not_fit_shows_no_default_that_is_a_secret() -> None:
    with pytest.raises(ParameterBindError) as caught:
        Signature(takes).check((), {"nonsense": HIDDEN})
    assert HIDDEN not in str(caught.value)
    assert "= 'open'" in str(caught.value)


@pytest.mark.parametrize("value", [HIDDEN, SecretStr(HIDDEN)])
def test_the_name_of_a_run_masks_secrets_even_when_plain_text_was_passed(value: Any) -> None:
    @task(task_run_name="login of {user} with {password}")
    def log_in(user: str, password: SecretStr) -> None: ...

    name = Attempt(log_in, "run", ["ann", value], {}).name
    assert name.startswith("login of ann with ***")
    assert HIDDEN not in name


def test_the_name_of_a_flow_run_masks_secrets(caplog: pytest.LogCaptureFixture) -> None:
    names = []

    @flow(flow_run_name="login with {password}")
    def logs_in(password: SecretStr) -> None:
        from orchestrator.runtime import flow_run

        names.append(flow_run.name)

    with inline(), caplog.at_level(logging.DEBUG):
        logs_in(HIDDEN)  # type: ignore[arg-type]
    assert names == ["login with **********"]
    assert HIDDEN not in caplog.text


def test_an_argument_that_its_annotation_refuses_is_not_shown() -> None:
    def fn(password: SecretStr, login: Login) -> None: ...

    signature = Signature(fn)
    for args in ((["x", HIDDEN], {}), (HIDDEN, {"user": HIDDEN}), (HIDDEN, HIDDEN)):
        with pytest.raises(ParameterTypeError) as caught:
            signature.validated(args, {})
        assert HIDDEN not in str(caught.value)
        assert caught.value.__suppress_context__


def test_secrets_arrive_as_secrets_at_any_depth() -> None:
    @task
    def opens(password: SecretStr, login: Login, vault: Vault, more: list[dict[str, SecretStr]]) -> list[Any]:
        return [
            type(password),
            password.get_secret_value(),
            login.password.get_secret_value(),
            vault.key.get_secret_value(),
            more[0]["x"].get_secret_value(),
        ]

    with inline():
        found = opens.submit(
            SecretStr("a"), Login(user="u", password=SecretStr("b")), Vault(SecretBytes(b"c")), [{"x": SecretStr("d")}]
        ).result()
    assert found[1:] == ["a", "b", b"c", "d"]
    assert found[0] is SecretStr
