"""How docker and kubectl are asked, and what is made of their answers."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.deployments.loading import flow_of
from orchestrator.deployments.versions import Version
from orchestrator.errors import ConfigurationError, MissingFlowError
from orchestrator.work_pools.job import Job, job_of
from orchestrator.work_pools.kubernetes_job import manifest_of
from task_workers.infrastructure.base import GONE, Condition, Handle, InfrastructureError, Phase, Wanted
from task_workers.infrastructure.docker import Docker
from task_workers.infrastructure.kubernetes import Kubernetes
from task_workers.infrastructure.programs import Program
from task_workers.infrastructure.variables import OwnCall, own_call, variables_for
from tests.support.fake_programs import FakePrograms
from tests.support.waiting import wait_until
from tests.support.worker_process import is_alive

SECONDS = 30
Answers = Callable[..., None]


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Has a program ``kubectl`` answer, by the kind of thing it is asked for."""
    program = tmp_path / "kubectl"
    program.write_text(
        f'#!/bin/sh\n[ -f "{tmp_path}/error" ] && cat "{tmp_path}/error" >&2 && exit 1\ncat "{tmp_path}/$2"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def answer(error: str = "", **kinds: Any) -> None:
        (tmp_path / "error").write_text(error) if error else (tmp_path / "error").unlink(missing_ok=True)
        for kind, facts in kinds.items():
            (tmp_path / kind).write_text(json.dumps(facts))

    return answer


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrograms]:
    made = FakePrograms(tmp_path / "fakes", tmp_path)
    monkeypatch.setenv("PATH", made.path)
    yield made
    made.close()


def pod(phase: str, **state: Any) -> dict[str, Any]:
    return {"items": [{"status": {"phase": phase, "containerStatuses": [{"state": state}]}}]}


def job(*ends: str, **more: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": end, "status": "True", **more} for end in ends]}}


@pytest.mark.parametrize(
    ("job_facts", "pods", "expected"),
    [
        ({}, {"items": []}, Condition(Phase.STARTING)),
        (
            job(),
            pod("Pending", waiting={"reason": "ImagePullBackOff", "message": "no such image"}),
            Condition(Phase.STARTING, None, "ImagePullBackOff: no such image"),
        ),
        (job(), pod("Running", running={}), Condition(Phase.RUNNING)),
        (
            job("Complete"),
            pod("Succeeded", terminated={"exitCode": 0, "reason": "Completed"}),
            Condition(Phase.ENDED, 0),
        ),
        (
            job("Failed"),
            pod("Failed", terminated={"exitCode": 137, "reason": "OOMKilled"}),
            Condition(Phase.ENDED, 137, "OOMKilled"),
        ),
        (job("Failed", reason="DeadlineExceeded"), {"items": []}, Condition(Phase.ENDED, None, "DeadlineExceeded")),
        (job("Complete"), {"items": []}, Condition(Phase.ENDED, 0)),
        ({"status": None}, {"items": None}, Condition(Phase.STARTING)),
    ],
)
def test_how_a_job_is(answers: Answers, job_facts: Any, pods: Any, expected: Condition) -> None:
    answers(job=job_facts, pods=pods)
    assert Kubernetes().look(Handle("job", "nightly", "shop")) == expected


def test_a_job_that_is_gone_and_one_that_may_not_be_seen(answers: Answers) -> None:
    answers('Error from server (NotFound): jobs.batch "nightly" not found')
    assert Kubernetes().look(Handle("job", "nightly", "shop")) == GONE
    answers("Error from server (Forbidden): jobs.batch is forbidden")
    with pytest.raises(InfrastructureError, match="kubectl get: Error from server"):
        Kubernetes().look(Handle("job", "nightly", "shop"))
    answers(job=[], pods=3)
    assert Kubernetes().look(Handle("job", "nightly", "shop")).phase is Phase.STARTING


def test_what_is_no_json_is_an_error(tmp_path: Path, answers: Answers) -> None:
    answers()
    (tmp_path / "job").write_text("<html>")
    with pytest.raises(InfrastructureError, match="no JSON"):
        Kubernetes().look(Handle("job", "nightly", "shop"))


@pytest.mark.parametrize("made", [Docker, Kubernetes])
def test_a_program_that_is_not_there(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="on PATH"):
        made().check()


def test_a_container_from_its_start_to_its_removal(programs: FakePrograms) -> None:
    env = {"CITY": "Oslo\nand Rome", "PATH": "/usr/bin:/bin", "HOME": "/inside"}
    given = {
        "image": "shop/etl",
        "command": ["sh", "-c", 'echo "$CITY $HOME"; exec sleep 600'],
        "networks": ["back", "front"],
        "registry_credentials": {"username": "me", "password": "s3cr3t", "registry_url": "registry.example"},
    }
    docker = Docker()
    handle = docker.start(Wanted(Job(env, None, "docker", given), "nightly", {"a": "b"}, {"CITY": "no"}))
    wait_until(lambda: "inside" in programs.only().log.read_text(), SECONDS)
    assert programs.only().log.read_text() == "Oslo\nand Rome /inside\n"
    assert [call[0] for call in programs.calls[:4]] == ["login", "create", "network", "start"]
    assert "Oslo" not in str(programs.calls)
    assert "s3cr3t" not in str(programs.calls)
    assert (programs.state / "login.stdin").read_text() == "s3cr3t"
    assert docker.look(handle).phase is Phase.RUNNING
    (found,) = docker.find({"a": "b"}, [])
    assert (found.handle, found.labels["orchestrator.io/auto-remove"]) == (handle, "no")
    assert docker.find({"a": "c"}, []) == []
    docker.end(handle, 0)
    assert docker.look(handle) in (Condition(Phase.ENDED, 137), Condition(Phase.ENDED, 143))
    for _ in range(2):
        docker.remove(handle)
        docker.end(handle, 0)
    assert docker.look(handle) == GONE


def test_a_job_from_its_start_to_its_removal(programs: FakePrograms) -> None:
    configuration = job_of(None, {"image": "shop/etl", "command": "sleep 600", "namespace": "data"}, "kubernetes")
    cluster = Kubernetes()
    handle = cluster.start(Wanted(configuration, "nightly", {"a": "b"}, {"CITY": "Oslo"}))
    assert (handle.namespace, handle.name[:8]) == ("data", "nightly-")
    wait_until(lambda: cluster.look(handle).phase is Phase.RUNNING, SECONDS)
    assert [found.handle for found in cluster.find({"a": "b"}, ["data", "other"])] == [handle]
    assert cluster.find({"a": "b"}, ["other"]) == []
    for _ in range(2):
        cluster.end(handle, 0)
    assert cluster.look(handle) == GONE


def test_values_of_the_environment_that_come_from_elsewhere_stay() -> None:
    key = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "k"}}}
    made = job_of(None, {"image": "a", "env": [{"name": "CITY", "value": "Oslo"}, key]}, "kubernetes")
    (container,) = manifest_of(made, "n", {}, {"KEY": "no", "CITY": "no", "MORE": "1"})["spec"]["template"]["spec"][
        "containers"
    ]
    assert {one["name"]: one.get("value") for one in container["env"]} == {"MORE": "1", "CITY": "Oslo", "KEY": None}
    assert key in container["env"]


@pytest.mark.parametrize("manifest", [None, [], {"spec": {}}, {"spec": {"template": {"spec": {"containers": []}}}}])
def test_a_template_without_a_container_is_refused(manifest: Any) -> None:
    with pytest.raises(ConfigurationError, match="job_manifest"):
        manifest_of(Job({}, None, "kubernetes", {"job_manifest": manifest}), "n", {}, {})


def test_what_is_passed_to_a_run_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    call = OwnCall("run", "p-0123abcd-0:ds 1-0", "worker")
    environ = {
        "ORCHESTRATOR_REDIS_URL": "redis://r",
        "ORCHESTRATOR_SERVER_TOKEN": "t",
        "ORCHESTRATOR_HOME": "/h",
        "A": "1",
    }
    found = variables_for(call, environ, private=False)
    assert found.keys() & environ.keys() == {"ORCHESTRATOR_REDIS_URL"}
    assert "ORCHESTRATOR_HOME" in variables_for(call, environ, private=True)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert own_call("run") == call
    with pytest.raises(ConfigurationError, match="not for other"):
        own_call("other")
    monkeypatch.delenv("ORCHESTRATOR__TICKET")
    with pytest.raises(ConfigurationError, match="not started for a flow run"):
        own_call()


def test_flow_code_is_taken_from_the_image_where_the_deployed_files_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from orchestrator import flow\n\n@flow\ndef of_an_image():\n    return __file__\n"
    (tmp_path / "inside" / "lib").mkdir(parents=True)
    (tmp_path / "inside" / "lib" / "image_flows.py").write_text(source)
    monkeypatch.chdir(tmp_path / "inside")
    monkeypatch.setattr(sys, "path", list(sys.path))
    elsewhere = "/somewhere/else/entirely"
    version = Version(
        1,
        place=f"{elsewhere}/lib/image_flows.py",
        function="of_an_image",
        file=f"{elsewhere}/lib/image_flows.py",
        root=elsewhere,
        digest="0" * 64,
        image="shop/etl",
    )
    found = flow_of("id", "of-an-image", version, is_current=False, snapshot=lambda: None)
    assert found.fn() == str(tmp_path / "inside" / "lib" / "image_flows.py")
    with pytest.raises(MissingFlowError):
        flow_of("id", "of-an-image", replace(version, image=None), is_current=False, snapshot=lambda: None)


def test_a_program_that_does_not_end_is_killed_though_another_one_has_its_output(tmp_path: Path) -> None:
    program = tmp_path / "stubborn"
    program.write_text("#!/bin/sh\nsetsid sleep 60 &\necho $! > $1\nsleep 60\n")
    program.chmod(0o755)
    with pytest.raises(InfrastructureError, match=r"did not end within 0\.5 s"):
        Program(str(program), "").run(str(tmp_path / "pid"), seconds=0.5)
    helper = int((tmp_path / "pid").read_text())
    assert is_alive(helper)
    os.kill(helper, signal.SIGKILL)
