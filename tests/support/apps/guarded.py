"""Tasks for tests about keys and secrets."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, SecretStr

from orchestrator import flow, get_run_logger, task
from orchestrator.cache_policies import INPUTS


class Login(BaseModel):
    """A model with a secret inside."""

    user: str
    password: SecretStr


@task
def echo(value: Any) -> Any:
    return value


@task(cache_policy=INPUTS, cache_expiration=timedelta(hours=1))
def cached(value: str) -> str:
    return f"cached {value}"


@task(log_prints=True)
def tells(value: str) -> None:
    print(f"told {value}")
    raise ValueError(f"failed on {value}")


@task(queue="vault")
def of_the_vault(value: str) -> str:
    return value


@flow
def flow_that_tells(value: str) -> None:
    raise ValueError(f"the flow failed on {value}")


@task(task_run_name="login of {login.user} with {password}", log_prints=True)
def logs_in(password: SecretStr, login: Login) -> str:
    """Shows its secrets in every way that does not ask for their values."""
    print(password, repr(password), login, [password], {"password": password})
    get_run_logger().warning("logging in with %s as %r", password, login)
    logging.getLogger("shop").warning("the app logs %s and %r", password, login)
    same = password.get_secret_value() == login.password.get_secret_value()
    return f"{type(password).__name__} {same}"


@task(task_run_name="login with {password}")
def fails_to_log_in(password: SecretStr) -> None:
    raise PermissionError(f"{password!r} is wrong", password)


@task(validate_parameters=True)
def checked(password: SecretStr, login: Login) -> str:
    return "checked"


@task
def gives_away(password: SecretStr) -> SecretStr:
    return password
