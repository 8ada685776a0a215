"""Everything that can be set from outside: one field, one variable ``ORCHESTRATOR_<FIELD>``, one default each.

>>> Settings(namespace="shop").namespace
'shop'
>>> with use(Settings(result_ttl_seconds=60)):
...     current().result_ttl_seconds
60.0

Importing this module reads nothing; the environment and the user's profile are read by the first :func:`current`. A
flag of the command line wins over the variable, the variable over the profile, the profile over the default.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from brokers.urls import engine_of, masked
from orchestrator.configuration.kinds import (
    Carrier,
    Count,
    CountOrNone,
    Delays,
    EncryptionRing,
    KeyRing,
    Name,
    NotNegative,
    Positive,
    Project,
    ResultFormat,
    ResultPlace,
    Server,
    Word,
    keys_of,
)
from orchestrator.configuration.names import OTHERWISE_HERE, PREFECTS, PREFIX, variable_of
from orchestrator.configuration.sources import PROFILE, Outside, outside
from orchestrator.errors import ConfigurationError

DAY_SECONDS: Final = 86_400.0
MAX_PAYLOAD_BYTES: Final = 64 * 1024 * 1024  # what every reader accepts; larger things belong into a file store


class Settings(BaseModel):
    """The settings of one process. Frozen; ``repr`` shows neither passwords nor keys.

    Raises:
        ConfigurationError: a value, given or found outside, is not allowed, or two do not go together.

    >>> Settings(broker_url="celery+amqp://me:secret@mq/").broker_url
    'celery+amqp://me:secret@mq/'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: Server = Field(
        None,
        description="Redis or Valkey that keeps calls and results: redis://, rediss:// (TLS, with ?ssl_ca_certs=, "
        "ssl_certfile=, ssl_keyfile=), unix://, redis+sentinel://; unset: a private server of this user is started",
    )
    broker_url: Carrier = Field(
        None, description="What carries the calls, when it is not redis_url: redis:// or celery+amqp:// and the like"
    )
    celery_result_backend: str | None = Field(
        None,
        description="Where `celery -A task_workers.celery` keeps results of calls that Celery clients send by name "
        "(our own calls need none); unset: nowhere",
    )
    namespace: Name = Field("orchestrator", description="Prefix of every key; keeps several fleets on a server apart")
    project: Project = Field(
        None,
        description="Whose calls are seen on the private server: a name, which all share that give it, or a folder; "
        "unset: the nearest folder with pyproject.toml or .git above the script or the app, else the current one",
    )
    home: Path | None = Field(None, description="Directory of the private server; unset: in the user's state folder")
    redis_server: Path | None = Field(None, description="Program of the private server; unset: the first found")
    secret_key: KeyRing = Field(
        None, description="Keys that sign calls and results, separated by commas; the first signs, all are accepted"
    )
    require_signature: bool = Field(False, description="Whether calls and results without a signature are refused")
    encryption_key: EncryptionRing = Field(
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

    queue_limit: CountOrNone = Field(
        0, description="How many calls a queue may hold before more are refused, running ones included; 0: no limit"
    )
    queue_full_wait_seconds: NotNegative = Field(
        0.0, description="How long sending to a full queue waits for room before it is refused"
    )
    map_blocks: bool = Field(
        True, description="Keep calls of a map together, and calls sent at once, unless a live worker is too old"
    )
    result_ttl_seconds: Positive = Field(DAY_SECONDS, description="How long states and results are kept")
    flow_run_ttl_seconds: Positive = Field(30 * DAY_SECONDS, description="How long runs of deployments are kept")
    late_after_seconds: NotNegative = Field(15.0, description="A run that should have begun so long ago is Late")
    events_ttl_seconds: Positive = Field(7 * DAY_SECONDS, description="How long events are kept that are not of runs")
    artifact_versions: Count = Field(100, description="How many versions of an artifact's key are kept")
    dead_letter_ttl_seconds: Positive = Field(30 * DAY_SECONDS, description="How long dead letters are kept")
    max_payload_bytes: Annotated[int, Field(ge=1, le=MAX_PAYLOAD_BYTES)] = Field(
        16 * 1024 * 1024, description="Arguments or results above this size are refused"
    )
    compress_above_bytes: CountOrNone = Field(
        16 * 1024, description="Arguments and results above this size are compressed"
    )
    persist_result: bool = Field(False, description="Whether tasks keep their results for the cache unless they say")
    refresh_cache: bool = Field(False, description="Whether tasks run though their result is cached, unless they say")
    default_result_storage: ResultPlace = Field(
        None, description="Where results go that are persisted or too large: a folder, or slug/name of a file system"
    )
    default_result_serializer: ResultFormat = Field(
        None, description="Format of results in files where no task or flow says: msgpack unless set, json, pickle"
    )

    lease_seconds: Positive = Field(10.0, description="A worker that sent no heartbeat for so long is taken to be dead")
    beat_seconds: Positive = Field(2.0, description="How often a worker says that it is alive")
    max_deliveries: Count = Field(3, description="How often a call may kill its worker before it is a dead letter")
    unknown_task_wait_seconds: NotNegative = Field(
        900.0, description="How long a call waits while no live worker knows its task, before it is a dead letter"
    )
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
    log_to_console: bool = Field(
        True,
        description="Whether a script that sets up no logging shows lines of its runs and warnings on standard error",
    )
    log_prints: bool = Field(False, description="Whether print() in tasks and flows makes log lines, unless they say")
    log_lines_per_run: CountOrNone = Field(1000, description="How many log lines are kept per run")
    action_retry_seconds: NotNegative = Field(
        10.0, description="Until a failed action is tried again: 5 times, ever later"
    )
    server_token: SecretStr | None = Field(None, description="Bearer token for the JSON API; it logs people in, too")
    server_password: SecretStr | None = Field(None, description="What people log in with at pages of the server")
    api_url: str | None = Field(None, description="API that get_client() asks, not the store: http://host:4200/api")
    api_key: SecretStr | None = Field(None, description="What get_client() sends to it as a bearer token")
    ui_url: str | None = Field(None, description="Address of the server's pages, as http://host:4200, for runtime")
    default_work_pool: str | None = Field(None, description="Work pool of deployments that are deployed without one")
    redact: str = Field(
        "password,passwd,passphrase,token,secret,api_key,apikey,authorization,cookie",
        description="Parts of names, separated by commas: arguments whose names contain one are not shown to people",
    )

    task_default_retries: CountOrNone = Field(0, description="Retries of tasks that do not say")
    task_default_retry_delay_seconds: Delays = Field(0.0, description="Their delays before a retry: 5, or 1,10,100")

    def __init__(self, **values: Any) -> None:
        self._fill(outside(Settings.model_fields), values)

    def _fill(self, found: Outside, values: Mapping[str, Any]) -> None:
        try:
            super().__init__(**{**found.values, **values})
        except ValidationError as error:
            of_profile = {name for name, source in found.sources.items() if source == PROFILE and name not in values}
            texts = [_described(one, found.profile if set(one["loc"]) & of_profile else "") for one in error.errors()]
            # `from None`: the original's text shows the values of secrets
            raise ConfigurationError("; ".join(texts)) from None
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
    def private(self) -> bool:
        """Whether calls and results are on the private server of this user alone."""
        return self.redis_url is None and self.broker_url is None

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """The keys of the ring, the signing one first; empty when none is set.

        >>> Settings(secret_key="new, old").secret_keys
        (b'new', b'old')
        """
        return keys_of(self.secret_key)

    @property
    def encryption_keys(self) -> tuple[bytes, ...]:
        """The keys that encrypt, the one in use first; empty when none is set."""
        return keys_of(self.encryption_key)

    @property
    def redacted_names(self) -> tuple[str, ...]:
        """The parts of names whose values are not shown.

        >>> Settings(redact="pin, iban").redacted_names
        ('pin', 'iban')
        """
        return tuple(part.strip() for part in self.redact.split(",") if part.strip())

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, (shown(name or "", value) if isinstance(value, str) else value)


_URLS: Final = frozenset(("redis_url", "broker_url", "celery_result_backend", "api_url", "ui_url"))
_SECRETS: Final = frozenset(
    name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
)
_SECRET_PART: Final = re.compile(r"(?i)((?:key|passw(?:or)?d|pwd|secret|token|signature|sig)=)[^;&\s]+")


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


def _written(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def check_alone(values: Mapping[str, Any]) -> None:
    """Whether these values are allowed, whatever else is set here. Raises ConfigurationError."""
    Settings.__new__(Settings)._fill(Outside({}, {}), values)


def _described(detail: ErrorDetails, profile: str) -> str:
    """One line for people: the variable, the value seen (never a secret), its profile, and what is allowed."""
    name = str(detail["loc"][0]) if detail["loc"] else "?"
    if detail["type"] == "extra_forbidden":
        return f"there is no setting {name!r}; the settings are {', '.join(Settings.model_fields)}"
    seen = _shown(name, detail["input"])
    allowed = str(detail.get("ctx", {}).get("error") or detail["msg"]).replace("Input should be", "must be")
    of_profile = f" of the profile {profile!r}" if profile else ""
    return f"{variable_of(name)}={seen}{of_profile} is not allowed: {allowed}"


def _shown(name: str, value: Any) -> str:
    return "***" if (safe := shown(name, value)) == "***" else repr(safe)


def shown(name: str, value: Any) -> Any:
    """The value of a setting as anybody may see it: secrets are ``***``, and so is what is secret in a URL.

    >>> shown("celery_result_backend", "db+postgresql://me:s3cret@db/results"), shown("secret_key", "k"), shown("x", 2)
    ('db+postgresql://me:***@db/results', '***', 2)
    """
    if name in _SECRETS or isinstance(value, SecretStr):
        return "***" if value is not None else None
    text = str(value) if isinstance(value, str | Path) else value
    if isinstance(text, str) and (name in _URLS or "://" in text or (name == "default_result_storage" and "@" in text)):
        return _SECRET_PART.sub(r"\1***", masked(text))
    return text


_lock: Final = threading.Lock()
_current: Settings | None = None


def current() -> Settings:
    """The settings of this process: read from the environment and the profile at the first call, then kept.

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


def get_current_settings() -> Settings:
    """:func:`current`, under Prefect's name."""
    return current()


def __getattr__(name: str) -> Any:
    """Every setting as an object, ``ORCHESTRATOR_REDIS_URL``, under Prefect's name too, and ``temporary_settings``."""
    is_setting = name.startswith((PREFIX, PREFECTS))
    if name not in ("Setting", "temporary_settings") and not is_setting:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestrator.client import setting_objects

    found = setting_objects.setting_named(name) if is_setting else getattr(setting_objects, name)
    if found is None:
        why = OTHERWISE_HERE.get(name, "there is no such setting")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {why}")
    return found
