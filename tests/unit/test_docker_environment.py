"""What docker is told of a run's environment and of a registry, and who else can see it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import ConfigurationError
from orchestrator.work_pools.job import Job, job_of
from orchestrator.work_pools.started import shown_start
from task_workers.infrastructure.base import InfrastructureError, Wanted
from task_workers.infrastructure.docker import Docker
from task_workers.infrastructure.docker_environment import LONGEST_LINE, handed
from tests.support.fake_programs import FakePrograms

RUN = {  # what docker, its helpers or the loader would read, in their own environment
    "HTTP_PROXY": "http://u:s3cret-1@proxy",
    "https_proxy": "http://theirs:1",
    "DOCKER_PASSWORD": "s3cret-2",
    "DOCKER_HOST": "tcp://theirs:1",
    "HOME_ASSISTANT_TOKEN": "s3cret-3",
    "LD_PRELOAD": "/tmp/theirs.so",
    "SSL_CERT_FILE": "/tmp/theirs.pem",
    "HOME": "/inside",
    "SPACED": "  two words = one ",
    "UMLAUT": "Übung ✓",
    "EMPTY": "",
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrograms]:
    made = FakePrograms(tmp_path / "fakes", tmp_path)
    monkeypatch.setenv("PATH", made.path)
    yield made
    made.close()


def start(env: dict[str, str | None], name: str = "nightly", **given: Any) -> None:
    Docker().start(Wanted(Job(env, None, "docker", {"image": "a", "command": "true", **given}), name, {}, {}))


def test_values_of_a_run_are_neither_in_dockers_command_line_nor_in_its_environment(programs: FakePrograms) -> None:
    further = {"environment": {"TOKEN": "s3cret-4", "UMLAUT": "Ärger"}, "env": ["MORE=s3cret-5"], "shm_size": "1g"}
    start({**RUN, "KEY": "line 1\nline 2"}, container_create_kwargs=further)
    spec = programs.only().spec
    expected = RUN | {"TOKEN": "s3cret-4", "UMLAUT": "Ärger", "MORE": "s3cret-5", "KEY": "line 1\nline 2"}
    assert {name: spec["env"].get(name) for name in expected} == expected
    assert "s3cret" not in json.dumps(programs.calls)
    for name, value in RUN.items():
        assert spec["docker"].get(name) != value or os.environ.get(name) == value, name
    assert "s3cret" not in json.dumps(spec["docker"])
    assert spec["options"]["--shm-size"] == ["1g"]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("LD_PRELOAD", "/tmp/theirs.so\n", "more than one line"),
        ("All_Proxy", "socks5://theirs:1\r", "more than one line"),
        ("DOCKER_CERT", "x" * LONGEST_LINE, "more than one line"),
        ("", "x", "no variable"),
        ("#A", "x", "no variable"),
        ("A B", "x", "no variable"),
        ("A\nHOME", "x", "no variable"),
        ("A=B", "x", "no variable"),
        ("A", "s3cret\0", "no text"),
        ("A", "s3cret\udc80", "no text"),
    ],
)
def test_a_variable_that_docker_cannot_be_given_is_refused(name: str, value: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as found:
        handed({name: value})
    assert "s3cret" not in str(found.value)


def test_a_key_of_several_lines_and_a_long_value_still_arrive(programs: FakePrograms) -> None:
    env: dict[str, str | None] = {"SSH_PRIVATE_KEY": "-----BEGIN\nkey\n-----END\n", "LONG": "x" * (LONGEST_LINE + 9)}
    start(env)
    assert {name: programs.only().spec["env"].get(name) for name in env} == env


def test_no_variable_of_the_worker_is_taken_for_one_without_a_value(programs: FakePrograms) -> None:
    with pytest.raises(ConfigurationError, match="no value"):
        start({}, container_create_kwargs={"environment": ["AWS_SECRET_ACCESS_KEY"]})
    assert programs.calls == []


def test_a_preview_shows_names_of_variables_only() -> None:
    class Hides:
        def of(self, value: Any) -> Any:
            return value

    given = {"image": "a", "container_create_kwargs": {"environment": {"TOKEN": "s3cret"}}}
    shown = shown_start(job_of(None, given, "docker"), "nightly", Hides())
    assert ("--env TOKEN" in shown["command"], "s3cret" in str(shown)) == (True, False)


def test_a_log_in_at_a_registry_is_for_one_container(
    programs: FakePrograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "ca.pem").write_text("a certificate")
    kept = {"auths": {"other.example": {"auth": "b3RoZXI="}}, "credsStore": "pass", "credHelpers": {"a.example": "ecr"}}
    before = json.dumps(kept | {"currentContext": "far"})
    (own / "config.json").write_text(before)
    monkeypatch.setenv("DOCKER_CONFIG", str(own))
    start({}, registry_credentials={"username": "me", "password": "s3cret", "registry_url": "registry.example"})
    seen = json.loads((programs.state / "configuration").read_text())
    mode, text = seen["files"]["config.json"]
    found = json.loads(text)
    assert (mode, found["currentContext"], sorted(found)) == (0o600, "far", ["auths", "currentContext"])
    assert sorted(found["auths"]) == ["other.example", "registry.example"]
    assert seen["files"]["ca.pem"][1] == "a certificate"
    assert not Path(seen["folder"]).exists()
    assert ((own / "config.json").read_text(), (own / "ca.pem").read_text()) == (before, "a certificate")
    assert programs.only().spec["docker"]["DOCKER_CONFIG"] == seen["folder"]
    start({}, "another")
    assert programs.containers[1].spec["docker"]["DOCKER_CONFIG"] == str(own)


def test_the_folder_of_a_log_in_is_gone_when_nothing_could_be_made(
    programs: FakePrograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    programs.set("no-image")
    with pytest.raises(InfrastructureError, match="access denied"):
        start({}, registry_credentials={"username": "me", "password": "s3cret"})
    seen = json.loads((programs.state / "configuration").read_text())
    assert "https://index.docker.io/v1/" in seen["files"]["config.json"][1]
    assert not Path(seen["folder"]).exists()
