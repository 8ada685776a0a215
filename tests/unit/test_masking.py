"""Keys of a worker are nowhere in what it copies from containers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import ConfigurationError
from orchestrator.work_pools.job import Job
from task_workers.infrastructure.base import Condition, Handle, InfrastructureError, Phase, Wanted
from task_workers.infrastructure.docker import Docker
from task_workers.infrastructure.kubernetes import Kubernetes
from task_workers.infrastructure.masking import Mask, MaskedInfrastructure, secrets_of
from task_workers.infrastructure.output import LONGEST_LINE, OutputStream
from task_workers.infrastructure.programs import MOST_CHARACTERS
from tests.support.fake_programs import FakePrograms

ENVIRON = {
    "ORCHESTRATOR_SECRET_KEY": "newer-key-of-the-fleet, older-key-of-the-fleet",
    "ORCHESTRATOR_ENCRYPTION_KEY": "e" * 40,
    "ORCHESTRATOR_REDIS_URL": "redis://app:pass%2Fword-1@db.example/0",
    "ORCHESTRATOR_CELERY_RESULT_BACKEND": "db+postgresql://me:password-2@db/results",
    "ORCHESTRATOR_SERVER_TOKEN": "token-of-the-server",
    "ORCHESTRATOR_NAMESPACE": "shop",
}
SECRETS = [
    *("newer-key-of-the-fleet", "older-key-of-the-fleet", "e" * 40, "pass%2Fword-1", "pass/word-1", "password-2"),
    "token-of-the-server",
]
MASKED = Mask(secrets_of(ENVIRON))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrograms]:
    made = FakePrograms(tmp_path / "fakes", tmp_path)
    monkeypatch.setenv("PATH", made.path)
    yield made
    made.close()


def container(*words: str, image: str = "a") -> Wanted:
    given = {"image": image, "command": list(words)}
    return Wanted(Job({}, None, "docker", given), "nightly", {}, ENVIRON)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_form_of_a_secret_stays(secret: str) -> None:
    for text in (secret, f"x={secret}", json.dumps({"env": ENVIRON, "more": secret}), repr(secret)):
        assert secret not in MASKED(text), text


def test_what_is_no_secret_stays() -> None:
    plain = "redis://db.example/0 does not answer: the namespace is shop, the line ends in a, b"
    assert Mask(secrets_of(ENVIRON | {"ORCHESTRATOR_REDIS_URL": "redis://db.example/0"}))(plain) == plain
    assert Mask([])(plain) == Mask(["a", ""])(plain) == plain


def test_a_secret_of_several_lines_is_found_on_each_and_in_json() -> None:
    mask = Mask(['first"line\nsecond-line'])
    assert mask('first"line') == mask("second-line") == "***"
    assert mask(json.dumps('first"line\nsecond-line')) == '"***"'


def test_lines_of_a_container_have_no_secrets_wherever_they_are_cut(
    programs: FakePrograms, caplog: pytest.LogCaptureFixture
) -> None:
    script = f'env; printf "%0{LONGEST_LINE - 4}d" 0; echo "$ORCHESTRATOR_ENCRYPTION_KEY"; echo last'
    docker = MaskedInfrastructure(Docker(), MASKED)
    handle = docker.start(container("sh", "-c", script))
    output = OutputStream(docker, handle, "nightly", True, lambda: None)
    with caplog.at_level(logging.INFO, "orchestrator.infrastructure"):
        output.start()
        output.stop(60)
    assert output.last_lines.endswith("\nlast")
    assert "ORCHESTRATOR_ENCRYPTION_KEY=***" in output.last_lines
    for secret in (*SECRETS, "eeee"):
        assert secret not in output.last_lines + caplog.text, secret


def test_an_error_is_not_cut_in_the_middle_of_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\necho 'x {'e' * 40} {'y' * (MOST_CHARACTERS - 20)}' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InfrastructureError, match="docker create: yyy"):
        MaskedInfrastructure(Docker(), MASKED).start(container("true"))


def test_errors_and_reasons_have_no_secrets(programs: FakePrograms, tmp_path: Path) -> None:
    docker = MaskedInfrastructure(Docker(), MASKED)
    programs.set("no-image")
    with pytest.raises(InfrastructureError, match=r"Unable to find image 'shop:\*\*\*'") as failed:
        docker.start(container("true", image=f"shop:{SECRETS[0]}"))
    with pytest.raises(ConfigurationError, match=r"'-\*\*\*'") as refused:
        docker.start(container("true", image=f"-{SECRETS[0]}"))
    assert all(one.value.__suppress_context__ for one in (failed, refused))  # tracebacks end there
    waiting = {"state": {"waiting": {"reason": "CreateContainerError", "message": f"no command {SECRETS[1]}"}}}
    pods = {"items": [{"status": {"phase": "Pending", "containerStatuses": [waiting]}}]}
    for kind, facts in {"job": {}, "pods": pods}.items():
        (tmp_path / kind).write_text(json.dumps(facts))
    kubectl = programs.bin / "kubectl"
    kubectl.write_text(f'#!/bin/sh\ncat "{tmp_path}/$2"\n')
    found = MaskedInfrastructure(Kubernetes(), MASKED).look(Handle("job", "nightly", "shop"))
    assert found == Condition(Phase.STARTING, None, "CreateContainerError: no command ***")
