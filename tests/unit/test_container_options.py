"""No value of a job variable becomes an option of docker or kubectl that nobody has asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import deploy, flow
from orchestrator.deployments import DockerImage
from orchestrator.errors import ConfigurationError
from orchestrator.work_pools.docker_job import create_arguments
from orchestrator.work_pools.job import Job, job_of
from task_workers.infrastructure.base import Wanted
from task_workers.infrastructure.docker import Docker
from task_workers.infrastructure.kubernetes import Kubernetes
from tests.support.fake_programs import FakePrograms


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrograms]:
    made = FakePrograms(tmp_path / "fakes", tmp_path)
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.chdir(tmp_path)
    yield made
    made.close()


@flow
def of_an_image() -> None:
    """A flow."""


def wanted(configuration: dict[str, Any], kind: str = "docker") -> Wanted:
    return Wanted(Job({}, None, kind, configuration), "nightly", {}, {})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"image": "--volume=/:/host", "command": "alpine chroot /host sh"}, "image"),
        ({"image": "-v/:/host", "command": "alpine"}, "image"),
        ({"network_mode": "--privileged"}, "network_mode"),
        ({"networks": ["back", "--driver-opt=a"]}, "networks"),
        ({"registry_credentials": {"username": "me", "password": "p", "registry_url": "--password=p"}}, "registry_url"),
        ({"container_create_kwargs": {"": "alpine"}}, "container_create_kwargs"),
        ({"container_create_kwargs": {"privileged=true --": 1}}, "container_create_kwargs"),
    ],
)
def test_a_value_that_would_be_an_option_of_docker_is_refused(
    programs: FakePrograms, given: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Docker().start(wanted({"image": "shop/etl", **given}))
    assert programs.calls == []


def test_words_of_a_command_are_never_options_of_docker() -> None:
    job = Job({}, None, "docker", {"image": "shop/etl", "command": "--volume=/:/host alpine"})
    assert create_arguments(job, "nightly", {}, [])[-4:] == ["--", "shop/etl", "--volume=/:/host", "alpine"]


def test_what_docker_takes_in_any_place_comes_after_two_dashes(programs: FakePrograms) -> None:
    given = {
        "image": "shop/etl",
        "command": "true",
        "networks": ["back", "front"],
        "registry_credentials": {"username": "me", "password": "p", "registry_url": "registry.example"},
    }
    Docker().start(wanted(given))
    calls = {call[0]: call for call in programs.calls}
    assert calls["login"][-2:] == ["--", "registry.example"]
    assert calls["create"][-3:] == ["--", "shop/etl", "true"]
    assert calls["network"][2:4] == ["--", "front"]


def test_a_namespace_that_would_be_an_option_of_kubectl_is_refused(programs: FakePrograms) -> None:
    job = job_of(None, {"image": "shop/etl", "namespace": "--kubeconfig=/tmp/theirs"}, "kubernetes")
    with pytest.raises(ConfigurationError, match="namespace"):
        Kubernetes().start(Wanted(job, "nightly", {}, {}))
    assert programs.calls == []


def test_an_image_to_build_cannot_be_an_option(programs: FakePrograms, tmp_path: Path) -> None:
    for bad in (DockerImage("--all-tags"), DockerImage("own", build_kwargs={"": "x"})):
        with pytest.raises(ConfigurationError):
            bad.build()
    with pytest.raises(ConfigurationError, match="begins with a dash"):
        DockerImage("--all-tags").push()
    with pytest.raises(ConfigurationError, match="begins with a dash"):  # before it is asked which pools there are
        deploy(of_an_image.to_deployment("a"), work_pool_name="no-pool", image="--privileged", build=False)
    assert programs.calls == []
    folder = tmp_path / "--privileged"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    DockerImage("own", dockerfile="--privileged/Dockerfile", build_kwargs={"path": "--privileged"}).build()
    assert programs.calls[0][3:] == ["--file", str(folder / "Dockerfile"), str(folder)]
