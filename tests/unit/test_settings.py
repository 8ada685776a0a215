from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import get_client, settings
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings, current, describe, reset, shown, use


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for row in describe():
        monkeypatch.delenv(row.variable, raising=False)
    with use(Settings()):
        yield


def test_every_setting_has_a_variable_a_default_and_a_meaning() -> None:
    rows = describe()
    assert [row.name for row in rows] == list(Settings.model_fields)
    assert all(row.variable == f"ORCHESTRATOR_{row.name.upper()}" for row in rows)
    assert all(row.meaning for row in rows)


@pytest.mark.parametrize("row", [row for row in describe() if row.default], ids=lambda row: row.name)
def test_the_default_in_the_table_can_be_written_in_the_variable(
    row: settings.SettingDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(row.variable, row.default)
    assert getattr(Settings(), row.name) == Settings.model_fields[row.name].default


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("ORCHESTRATOR_REDIS_URL", "redis://h:1/2", "redis_url", "redis://h:1/2"),
        ("ORCHESTRATOR_BROKER_URL", "celery+amqp://h//", "broker_url", "celery+amqp://h//"),
        ("ORCHESTRATOR_HOME", "/tmp/x", "home", Path("/tmp/x")),
        ("ORCHESTRATOR_LEASE_SECONDS", "30", "lease_seconds", 30.0),
        ("ORCHESTRATOR_LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("ORCHESTRATOR_TASK_RUNNER", "threads", "task_runner", "threads"),
        ("ORCHESTRATOR_REDIS_URL", "", "redis_url", None),
    ],
)
def test_a_variable_sets_its_setting(
    variable: str, text: str, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("ORCHESTRATOR_NAMESPACE", "a b", ["'a b'", "A-Z a-z 0-9"]),
        ("ORCHESTRATOR_NAMESPACE", "x" * 41, ["1 to 40"]),
        ("ORCHESTRATOR_TASK_RUNNER", "boats", ["'boats'", "fleet", "threads", "processes"]),
        ("ORCHESTRATOR_BEAT_SECONDS", "often", ["'often'", "number"]),
        ("ORCHESTRATOR_MAX_DELIVERIES", "0", ["'0'", "1"]),
        ("ORCHESTRATOR_RESULT_TTL_SECONDS", "nan", ["nan"]),
        ("ORCHESTRATOR_RESULT_TTL_SECONDS", "1e300", ["1e300", "3153600000"]),
        ("ORCHESTRATOR_COMMAND_TIMEOUT_SECONDS", "1e10", ["1e10", "3153600000"]),
        ("ORCHESTRATOR_MAX_DELIVERIES", "9" * 30, ["1000000000"]),
        ("ORCHESTRATOR_QUEUE_LIMIT", "9" * 30, ["1000000000"]),
        ("ORCHESTRATOR_LEASE_SECONDS", "3", ["twice", "BEAT_SECONDS"]),
        ("ORCHESTRATOR_REDIS_URL", "http://x", ["http", "redis://"]),
        ("ORCHESTRATOR_BROKER_URL", "nonsense", ["scheme: there is none", "redis://"]),
    ],
)
def test_a_bad_value_is_told_with_its_variable_and_what_is_allowed(
    variable: str, text: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as caught:
        Settings()
    assert all(part in str(caught.value) for part in [variable, *told])


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="namespce"):
        Settings(namespce="x")


def test_passwords_and_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Settings(
        redis_url="redis://me:pa55@h",
        broker_url="celery+amqp://me:pa55@h",
        secret_key="pa55",
        encryption_key="pa55" * 8,
    )
    assert "pa55" not in repr(shown) + str(shown)
    assert shown.redis_url == "redis://me:pa55@h"
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "http://me:pa55@h")
    with pytest.raises(ConfigurationError) as caught:
        Settings()
    assert "pa55" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("text", ["pa55", "me:pa55@h", "redis//me:pa55@h", "redis:pa55", "pa55/0", "s3:/key:pa55@b"])
@pytest.mark.parametrize("name", ["redis_url", "broker_url", "celery_result_backend", "api_url", "ui_url"])
def test_an_address_without_its_scheme_is_not_quoted(name: str, text: str) -> None:
    try:
        told = repr(Settings(**{name: text}))
    except ConfigurationError as refused:
        told = str(refused)
    assert "pa55" not in f"{told} {shown(name, text)}"


def test_a_storage_with_credentials_is_not_quoted() -> None:
    for text in ("s3:/key:pa55@b", "s3://key:pa55@b", "key:pa55@b/c"):
        with pytest.raises(ConfigurationError) as refused:
            Settings(default_result_storage=text)
        assert "pa55" not in str(refused.value)


@pytest.mark.parametrize("url", ["me:pa55@h/api", "ftp://me:pa55@h/api", "http:/me:pa55@h/api"])
def test_an_address_that_no_client_takes_is_quoted_without_its_password(url: str) -> None:
    with use(Settings(api_url=url)), pytest.raises(ConfigurationError, match="is no address of an API") as refused:
        get_client(sync_client=True)
    assert "pa55" not in str(refused.value)


@pytest.mark.parametrize(("text", "keys"), [(None, ()), ("a", (b"a",)), (" new ,old,", (b"new", b"old"))])
def test_the_key_ring_is_split_at_commas(text: str | None, keys: tuple[bytes, ...]) -> None:
    assert Settings(secret_key=text).secret_keys == keys


def test_the_keys_that_encrypt_are_split_at_commas_and_none_may_be_short() -> None:
    new, old = "n" * 32, "o" * 40
    assert Settings(encryption_key=f"{new}, {old}").encryption_keys == (new.encode(), old.encode())
    assert Settings().encryption_keys == ()
    with pytest.raises(ConfigurationError, match=r"_ENCRYPTION_KEY=\*\*\* .* 32 characters") as caught:
        Settings(encryption_key=f"{new},short")
    assert "short" not in str(caught.value)


@pytest.mark.parametrize("name", ["secret_key", "encryption_key"])
@pytest.mark.parametrize("text", [",", " ", " , "])
def test_a_ring_without_a_key_does_not_pass_for_none(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"ORCHESTRATOR_{name.upper()}=\*\*\* .* there is no key in it"):
        Settings(**{name: text})


def test_signatures_cannot_be_required_without_a_key() -> None:
    with pytest.raises(ConfigurationError, match="ORCHESTRATOR_SECRET_KEY"):
        Settings(require_signature=True)
    assert Settings(require_signature=True, secret_key="k").require_signature


def test_the_environment_is_read_once_until_it_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    reset()
    assert current() is current()
    monkeypatch.setenv("ORCHESTRATOR_NAMESPACE", "later")
    assert current().namespace == "orchestrator"
    reset()
    assert current().namespace == "later"


def test_settings_in_use_hold_for_every_thread_and_end_with_the_block() -> None:
    seen: list[str] = []
    before = current()
    with use(Settings(namespace="inner")):
        thread = threading.Thread(target=lambda: seen.append(current().namespace))
        thread.start()
        thread.join()
    assert seen == ["inner"]
    assert current() is before


def test_a_submit_to_a_dead_server_may_not_take_longer_than_two_seconds() -> None:
    assert Settings().command_timeout_seconds + Settings().connect_timeout_seconds <= 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redis_url", "redis://app:hunter2@h/0"),
        ("broker_url", "celery+amqp://me:hunter2@mq/"),
        ("celery_result_backend", "db+postgresql://me:hunter2@db/results"),
        ("celery_result_backend", "redis://h/0?password=hunter2"),
        ("celery_result_backend", "azureblockblob://AccountName=a;AccountKey=hunter2;EndpointSuffix=x"),
        ("secret_key", "hunter2"),
        ("encryption_key", "hunter2" * 8),
        ("server_token", "hunter2"),
        ("server_password", "hunter2"),
    ],
)
def test_no_setting_is_shown_with_what_is_secret_in_it(name: str, value: str) -> None:
    settings = Settings(**{name: value})
    assert "hunter2" not in str(shown(name, getattr(settings, name)))
    assert "hunter2" not in repr(settings)
    assert "***" in str(shown(name, getattr(settings, name)))


def test_variables_may_be_written_in_any_case_and_an_empty_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("orchestrator_namespace", "quiet")
    monkeypatch.setenv("ORCHESTRATOR_BEAT_SECONDS", "")
    read = Settings()
    assert read.namespace == "quiet"
    assert read.beat_seconds == Settings.model_fields["beat_seconds"].default
    assert "namespace" in read.model_fields_set  # as if it had been given
    assert "beat_seconds" not in read.model_fields_set
    assert Settings(namespace="given").namespace == "given"
