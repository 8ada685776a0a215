"""Everything that can be set from outside: one field, one variable ``ORCHESTRATOR_<FIELD>``, one default each.

>>> Settings(namespace="shop").namespace
'shop'
>>> with use(Settings(result_ttl_seconds=60)):
...     current().result_ttl_seconds
60.0

Importing this module reads nothing; the environment is read by the first :func:`current`. A flag of the command line
wins over the variable, the variable over the default.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from brokers.urls import engine_of, masked, parse_url
from orchestrator.errors import ConfigurationError

PREFIX: Final = "ORCHESTRATOR_"
DAY_SECONDS: Final = 86_400.0
MOST_PAYLOAD_BYTES: Final = 64 * 1024 * 1024  # what every reader accepts; larger things belong into a file store

FEWEST_KEY_CHARACTERS: Final = 32

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("1 to 40 of the characters A-Z a-z 0-9 _ . -")
    return value


def _checked_server(url: str | None) -> str | None:
    if url is not None:
        parse_url(url)
    return url


def _checked_broker(url: str | None) -> str | None:
    if url is not None and engine_of(url) == "redis":
        parse_url(url)
    return url


def _checked_encryption(ring: SecretStr | None) -> SecretStr | None:
    if any(len(key) < FEWEST_KEY_CHARACTERS for key in _keys_of(ring)):
        raise ValueError(
            f"each key needs {FEWEST_KEY_CHARACTERS} characters or more; one is made by "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return ring


def _keys_of(ring: SecretStr | None) -> tuple[bytes, ...]:
    text = ring.get_secret_value() if ring else ""
    return tuple(key.strip().encode() for key in text.split(",") if key.strip())


def _lowered(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Name = Annotated[str, AfterValidator(_checked_name)]
Word = BeforeValidator(_lowered)
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """The settings of one process. Frozen; ``repr`` shows neither passwords nor keys.

    Raises:
        ConfigurationError: a value, given or found in the environment, is not allowed, or two do not go together.

    >>> Settings(broker_url="celery+amqp://me:secret@mq/").broker_url
    'celery+amqp://me:secret@mq/'
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, validate_default=False
    )

    redis_url: Annotated[str | None, AfterValidator(_checked_server)] = Field(
        None,
        description="Redis or Valkey that keeps calls and results: redis://, rediss:// (TLS, with ?ssl_ca_certs=, "
        "ssl_certfile=, ssl_keyfile=), unix://, redis+sentinel://; unset: a private server of this user is started",
    )
    broker_url: Annotated[str | None, AfterValidator(_checked_broker)] = Field(
        None, description="What carries the calls, when it is not redis_url: redis:// or celery+amqp:// and the like"
    )
    celery_result_backend: str | None = Field(
        None,
        description="Where `celery -A task_workers.celery_app` keeps results of calls that Celery clients send by name "
        "(our own calls need none); unset: nowhere",
    )
    namespace: Name = Field("orchestrator", description="Prefix of every key; keeps several fleets on a server apart")
    home: Path | None = Field(None, description="Directory of the private server; unset: in the user's state folder")
    redis_server: Path | None = Field(
        None, description="Program to start as the private server; unset: the first found"
    )
    secret_key: SecretStr | None = Field(
        None, description="Keys that sign calls and results, separated by commas; the first signs, all are accepted"
    )
    require_signature: bool = Field(False, description="Whether calls and results without a signature are refused")
    encryption_key: Annotated[SecretStr | None, AfterValidator(_checked_encryption)] = Field(
        None,
        description="Keys that encrypt arguments and results, each of 32 characters or more, separated by commas; "
        "the first encrypts, all are accepted",
    )

    task_runner: Annotated[Literal["fleet", "threads", "processes"], Word] = Field(
        "fleet", description="Where a flow's tasks run unless the flow says: on workers, in threads, in processes"
    )
    default_queue: Name = Field("default", description="Queue of tasks that name none")
    local_workers: Annotated[Literal["auto", "never"], Word] = Field(
        "auto", description="Whether a flow on the private server brings its own workers while none is running"
    )
    local_worker_threads: Count = Field(4, description="Threads of such a worker")

    queue_limit: Annotated[int, Field(ge=0)] = Field(
        0, description="How many calls a queue may hold before more are refused, running ones included; 0: no limit"
    )
    queue_full_wait_seconds: NotNegative = Field(
        0.0, description="How long sending to a full queue waits for room before it is refused"
    )
    result_ttl_seconds: Positive = Field(DAY_SECONDS, description="How long states and results are kept")
    dead_letter_ttl_seconds: Positive = Field(30 * DAY_SECONDS, description="How long dead letters are kept")
    max_payload_bytes: Annotated[int, Field(ge=1, le=MOST_PAYLOAD_BYTES)] = Field(
        16 * 1024 * 1024, description="Arguments or results above this size are refused"
    )
    compress_above_bytes: Annotated[int, Field(ge=0)] = Field(
        16 * 1024, description="Arguments and results above this size are compressed"
    )
    persist_result: bool = Field(False, description="Whether tasks keep their results for the cache unless they say")

    lease_seconds: Positive = Field(10.0, description="A worker that was not heard of for so long is taken to be dead")
    beat_seconds: Positive = Field(2.0, description="How often a worker says that it is alive")
    max_deliveries: Count = Field(3, description="How often a call may kill its worker before it is a dead letter")
    shutdown_timeout_seconds: NotNegative = Field(
        25.0, description="How long a worker that was asked to stop waits for its running calls"
    )
    kill_grace_seconds: NotNegative = Field(
        5.0, description="From asking a running call to stop until its process is killed"
    )

    command_timeout_seconds: Positive = Field(1.5, description="How long one command to the server may take")
    connect_timeout_seconds: Positive = Field(0.5, description="How long connecting to the server may take")

    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], Word] = Field(
        "info", description="What is logged"
    )
    log_format: Annotated[Literal["text", "json"], Word] = Field("text", description="How log lines are written")
    log_lines_per_run: Annotated[int, Field(ge=0)] = Field(1000, description="How many log lines are kept per run")

    server_token: SecretStr | None = Field(
        None,
        description="Bearer token for the JSON API of `orchestrator server`; it logs people in, too",
    )
    server_password: SecretStr | None = Field(
        None, description="What people log in with at the pages of `orchestrator server`"
    )
    redact: str = Field(
        "password,passwd,passphrase,token,secret,api_key,apikey,authorization,cookie",
        description="Parts of names, separated by commas: arguments whose names contain one are not shown to people",
    )

    task_default_retries: Annotated[int, Field(ge=0)] = Field(0, description="Retries of tasks that do not say")
    task_default_retry_delay_seconds: NotNegative = Field(0.0, description="Their delay before a retry")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # `from None`: the original's text shows the values of secrets
            raise ConfigurationError("; ".join(_told(detail) for detail in error.errors())) from None
        if self.lease_seconds < 2 * self.beat_seconds:
            raise ConfigurationError(
                f"{PREFIX}LEASE_SECONDS={self.lease_seconds:g} is too short: "
                f"at least twice {PREFIX}BEAT_SECONDS={self.beat_seconds:g}, or live workers are taken for dead"
            )
        if self.require_signature and not self.secret_keys:
            raise ConfigurationError(
                f"{PREFIX}REQUIRE_SIGNATURE is set without {PREFIX}SECRET_KEY: nothing could be signed or read"
            )

    @property
    def carried(self) -> bool:
        """Whether Celery's messages carry the calls.

        >>> Settings(broker_url="celery+amqp://localhost").carried
        True
        """
        return self.broker_url is not None and engine_of(self.broker_url) == "celery"

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """The keys of the ring, the signing one first; empty when none is set.

        >>> Settings(secret_key="new, old").secret_keys
        (b'new', b'old')
        """
        return _keys_of(self.secret_key)

    @property
    def encryption_keys(self) -> tuple[bytes, ...]:
        """The keys that encrypt, the one in use first; empty when none is set."""
        return _keys_of(self.encryption_key)

    @property
    def redacted_names(self) -> tuple[str, ...]:
        """The parts of names whose values are not shown.

        >>> Settings(redact="pin, iban").redacted_names
        ('pin', 'iban')
        """
        return tuple(part.strip() for part in self.redact.split(",") if part.strip())

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, (masked(value) if isinstance(value, str) and name in _URLS else value)


_URLS: Final = frozenset(("redis_url", "broker_url", "celery_result_backend"))
_SECRETS: Final = _URLS | {"secret_key", "encryption_key", "server_token", "server_password"}


class SettingDescription(NamedTuple):
    """One row of the table of settings."""

    name: str
    variable: str
    default: str
    meaning: str


def describe() -> list[SettingDescription]:
    """Every setting with its variable, its default (as it would be written in the variable) and its meaning.

    >>> next(row for row in describe() if row.name == "beat_seconds").variable
    'ORCHESTRATOR_BEAT_SECONDS'
    """
    return [
        SettingDescription(name, variable_of(name), _written(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def _written(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _told(detail: ErrorDetails) -> str:
    """One line for people: the variable, the value seen (never a secret) and what is allowed."""
    name = str(detail["loc"][0]) if detail["loc"] else "?"
    if detail["type"] == "extra_forbidden":
        return f"there is no setting {name!r}; the settings are {', '.join(Settings.model_fields)}"
    seen = _shown(name, detail["input"])
    context = detail.get("ctx", {})
    allowed = str(context.get("error") or detail["msg"]).replace("Input should be", "must be")
    return f"{variable_of(name)}={seen} is not allowed: {allowed}"


def _shown(name: str, value: Any) -> str:
    if name in _URLS:
        return repr(masked(str(value)))
    return "***" if name in _SECRETS else repr(value)


_lock: Final = threading.Lock()
_current: Settings | None = None


def current() -> Settings:
    """The settings of this process: read from the environment at the first call, then kept.

    Raises:
        ConfigurationError: a variable has a value that is not allowed.
    """
    global _current
    found = _current
    if found is None:
        with _lock:
            found = _current = _current or Settings()
    return found


@contextmanager
def use(settings: Settings) -> Iterator[Settings]:
    """Make ``settings`` those of the whole process, every thread included, until the block ends."""
    global _current
    with _lock:
        before, _current = _current, settings
    try:
        yield settings
    finally:
        with _lock:
            _current = before


def reset() -> None:
    """Forget what was read: the next :func:`current` reads the environment again."""
    global _current
    with _lock:
        _current = None
