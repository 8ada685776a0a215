"""Pools of docker and kubernetes: what would be started, of template, deployment and run; and images that are built."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import flow
from orchestrator.blocks.system import Secret
from orchestrator.client.fleet import Fleet
from orchestrator.deployments import DockerImage
from orchestrator.deployments.envelope import RunWishes
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.pool_jobs import job_in_pool, job_of_run
from orchestrator.deployments.running import RunRequest, envelope_of
from orchestrator.deployments.stored_values import with_variables
from orchestrator.errors import ConfigurationError, ObjectNotFound
from orchestrator.runs.deployed import DeployedRun
from orchestrator.runs.run_ids import new_run_id
from orchestrator.variables import Variable
from orchestrator.work_pools.base_templates import base_template
from orchestrator.work_pools.editing import create_pool
from orchestrator.work_pools.job import Job, job_of, unknown_variables
from orchestrator.work_pools.lookup import find_pool
from orchestrator.work_pools.run_labels import DELIVERY, RUN, WORKER, labels_of_pool
from task_workers.infrastructure.adoption import Adoption
from task_workers.infrastructure.base import Handle, Phase, Wanted
from task_workers.infrastructure.docker import Docker
from tests.support.command_line import Command, command_on
from tests.support.fake_programs import FakePrograms

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine

SETTINGS = {"encryption_key": "k" * 40}


@pytest.fixture
def command(fleet: Fleet) -> Command:
    return command_on(fleet)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrograms]:
    made = FakePrograms(tmp_path)
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.chdir(tmp_path)
    yield made
    made.close()


@flow(name="Containerized Flow")
def containerized(dataset: str = "v1") -> None:
    """A flow of a container."""


def dry_run(command: Command, name: str, *words: str) -> Any:
    done = command("deployment", "run", name, *words, "--dry-run", "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def deployed(fleet: Fleet, pool: str, kind: str, **options: Any) -> str:
    create_pool(fleet, pool, kind)
    containerized.deploy(
        pool, work_pool_name=pool, image="my-company/data-flow:1.2", build=False, print_next_steps=False, **options
    )
    return f"Containerized Flow/{pool}"


def test_the_templates_of_all_types_can_be_had(command: Command) -> None:
    for kind, variable in {
        "process": "working_dir",
        "docker": "mem_limit",
        "kubernetes": "service_account_name",
    }.items():
        done = command("work-pool", "get-default-base-job-template", "--type", kind)
        assert variable in json.loads(done.stdout)["variables"]["properties"]
    refused = command("work-pool", "get-default-base-job-template", "--type", "nomad")
    assert (refused.returncode, "process, docker, kubernetes" in refused.stderr) == (2, True)


def test_a_dry_run_shows_the_manifest_of_a_job(command: Command, fleet: Fleet) -> None:
    variables = {
        "cpu": "4",
        "memory": "16Gi",
        "env": {"MODEL_VERSION": "v2", "API_TOKEN": "s3cr3t"},
        "labels": {"a": 1},
    }
    name = deployed(fleet, "k8s", "kubernetes", job_variables=variables)
    found = dry_run(command, name, "--job-variable", "memory_limit=20Gi")
    manifest = found["manifest"]
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "my-company/data-flow:1.2"
    assert container["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"cpu": "4", "memory": "20Gi"},
    }
    assert {"name": "MODEL_VERSION", "value": "v2"} in container["env"]
    assert "s3cr3t" not in json.dumps(found)
    assert container["args"] == ["orchestrator", "flow-run", "execute"]
    assert (manifest["metadata"]["namespace"], manifest["metadata"]["labels"]) == ("default", {"a": "1"})
    assert manifest["metadata"]["generateName"] == "containerized-flow-"
    assert manifest["spec"]["backoffLimit"] == 0
    assert "ttlSecondsAfterFinished" not in manifest["spec"]
    assert "serviceAccountName" not in manifest["spec"]["template"]["spec"]


def test_a_dry_run_shows_the_command_line_of_a_container(command: Command, fleet: Fleet) -> None:
    variables = {
        "image_pull_policy": "Always",
        "env": {"DATABASE_URL": "postgresql://x"},
        "volumes": ["./data:/app/data"],
        "networks": ["back", "front"],
        "mem_limit": "512m",
        "privileged": True,
        "container_create_kwargs": {"shm_size": "1g", "extra_hosts": {"db": "10.0.0.1"}, "entrypoint": ["tini", "--"]},
    }
    name = deployed(fleet, "docker", "docker", job_variables=variables)
    found = dry_run(command, name)
    assert found["env"] == {"DATABASE_URL": "postgresql://x"}
    words = found["command"].split()
    assert words[:2] == ["docker", "create"]
    assert f"--volume {Path.cwd()}/data:/app/data" in found["command"]
    for part in ("--pull always", "--memory 512m", "--network back", "--shm-size 1g", "--add-host db:10.0.0.1"):
        assert part in found["command"], part
    assert "--privileged" in words
    assert found["command"].endswith("--entrypoint tini -- my-company/data-flow:1.2 -- orchestrator flow-run execute")
    coming = command("work-pool", "preview", "docker")
    assert coming.stdout == "docker has nothing to start within 1:00:00\n"


def test_what_is_said_last_counts(fleet: Fleet) -> None:
    template = base_template("docker")
    properties = {**template["variables"]["properties"], "mem_limit": {"default": "1g"}, "image": {"default": "pool"}}
    own = {**template, "variables": {"properties": properties}}
    create_pool(fleet, "layers", "docker", base_job_template=own)
    containerized.deploy("layers", work_pool_name="layers", print_next_steps=False, job_variables={"mem_limit": "2g"})
    pool, record = find_pool(fleet.broker, "layers"), find_deployment(fleet.broker, "Containerized Flow/layers")
    of_deployment = job_in_pool(fleet, pool, record).configuration
    assert (of_deployment["mem_limit"], of_deployment["image"]) == ("2g", "pool")
    of_run = job_in_pool(fleet, pool, record, {"mem_limit": "3g", "image": "run"}).configuration
    assert (of_run["mem_limit"], of_run["image"]) == ("3g", "run")
    assert job_of(own, {}, "docker").configuration["mem_limit"] == "1g"
    assert "networks" not in of_run


def test_job_variables_that_do_not_fit_are_named(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "orchestrator.deployments"):
        name = deployed(fleet, "typos", "docker", job_variables={"mem_limits": "1g", "privileged": "yes"})
    assert "'mem_limits' (did you mean 'mem_limit'?)" in caplog.text
    assert "'yes' is not of type 'boolean'" in caplog.text
    pool, record = find_pool(fleet.broker, "typos"), find_deployment(fleet.broker, name)
    with pytest.raises(ConfigurationError, match="'privileged' does not fit"):
        job_in_pool(fleet, pool, record)
    with pytest.raises(ConfigurationError) as found:
        job_in_pool(fleet, pool, record, {"privileged": False, "env": {"KEY": ["s3cr3t"]}})
    assert "s3cr3t" not in str(found.value)
    assert unknown_variables(None, {"cpus": 1}, "kubernetes") == ["'cpus' (did you mean 'cpu'?)"]


def test_blocks_are_put_in_for_the_worker_and_shown_to_nobody(command: Command, fleet: Fleet) -> None:
    Secret(value="s3cr3t-of-the-shop").save("shop-key")
    Variable.set("city", "Oslo")
    env = {"KEY": "{{ prefect.blocks.secret.shop-key }}", "CITY": "in {{ orchestrator.variables.city }}"}
    name = deployed(fleet, "secretive", "docker", job_variables={"env": env})
    found = dry_run(command, name)
    assert found["env"]["CITY"] == "in Oslo"
    assert "s3cr3t-of-the-shop" not in json.dumps(found)
    pool, record = find_pool(fleet.broker, "secretive"), find_deployment(fleet.broker, name)
    assert job_in_pool(fleet, pool, record, with_blocks=True).env == {"KEY": "s3cr3t-of-the-shop", "CITY": "in Oslo"}
    assert record.job_variables["env"] == env
    gone = replace(record, job_variables={"env": {"KEY": "{{ prefect.blocks.secret.gone }}"}})
    with pytest.raises(ConfigurationError, match="secret/gone"):
        job_in_pool(fleet, pool, gone, with_blocks=True)
    assert with_variables("{{ prefect.blocks.a.b.c.d }}", {}.get, lambda name, keys: [name, *keys]) == ["a/b", "c", "d"]


@pytest.mark.parametrize("place", ["{{ prefect.blocks.secret.of-others }}", "in {{ orchestrator.variables.theirs }}"])
def test_what_came_with_a_run_reads_no_block_and_no_variable(command: Command, fleet: Fleet, place: str) -> None:
    Secret(value="s3cr3t-of-others").save("of-others", overwrite=True)
    Variable.set("theirs", "s3cr3t-of-others", overwrite=True)
    own = {"registry_credentials": {"password": place}, "env": {"KEY": "{{ orchestrator.variables.theirs }}"}}
    name = deployed(fleet, f"theirs-{len(place)}", "docker", job_variables={"image": "shop", "env": own["env"]})
    pool, record = find_pool(fleet.broker, f"theirs-{len(place)}"), find_deployment(fleet.broker, name)
    with pytest.raises(ConfigurationError, match="'registry_credentials' came with the run"):
        job_in_pool(fleet, pool, record, own, with_blocks=True)
    request = RunRequest(name, {}, wishes=RunWishes(job_variables={"labels": [place]}))
    with pytest.raises(ConfigurationError, match="'labels' came with the run"):
        envelope_of(fleet, record, request)
    made = DeployedRun(record.id, name, job_variables={**record.job_variables, "command": place})
    with pytest.raises(ConfigurationError, match="'command' came with the run"):  # made by an earlier version
        job_of_run(fleet, pool, record, made)
    of_deployment = made._replace(job_variables=record.job_variables)
    for known in (None, ()):  # the deployment's own places are filled in as before
        job = job_of_run(fleet, pool, record, of_deployment._replace(own_job_variables=known))
        assert job.env == {"KEY": "s3cr3t-of-others"}
    as_deployed = made._replace(own_job_variables=("image",), job_variables={"env": own["env"], "image": "run"})
    job = job_of_run(fleet, pool, replace(record, job_variables={"env": {}}), as_deployed)
    assert (job.configuration["image"], job.env) == ("run", {"KEY": "s3cr3t-of-others"}), "as it was when it was made"


def test_a_container_without_an_image_is_refused(command: Command, fleet: Fleet) -> None:
    create_pool(fleet, "imageless", "docker")
    containerized.deploy("imageless", work_pool_name="imageless", print_next_steps=False)
    done = command("deployment", "run", "Containerized Flow/imageless", "--dry-run")
    assert (done.returncode, "no image" in done.stderr) == (1, True)


def test_images_are_built_and_pushed(fleet: Fleet, programs: FakePrograms, tmp_path: Path) -> None:
    create_pool(fleet, "built", "docker")
    image = DockerImage("my-registry/ml-training", tag="3", build_kwargs={"buildargs": {"A": 1}, "nocache": True})
    containerized.deploy("built", work_pool_name="built", image=image, print_next_steps=False)
    built, pushed = programs.calls
    assert built[:7] == ["build", "--tag", "my-registry/ml-training:3", "--build-arg", "A=1", "--no-cache", "--file"]
    assert (built[7:], pushed) == (["-", str(tmp_path)], ["push", "my-registry/ml-training:3"])
    assert "COPY . /opt/flows" in (programs.state / "build.stdin").read_text()
    assert find_deployment(fleet.broker, "Containerized Flow/built").image == "my-registry/ml-training:3"
    containerized.deploy("built", work_pool_name="built", image="own:1", push=False, print_next_steps=False)
    assert [call[0] for call in programs.calls[2:]] == ["build"]
    with pytest.raises(ObjectNotFound):  # before it takes minutes
        containerized.deploy("built", work_pool_name="nowhere", image="own:1", print_next_steps=False)
    with pytest.raises(ConfigurationError, match="no file"):
        DockerImage("own", dockerfile="Dockerfile.gone").build()
    assert len(programs.calls) == 3


def test_without_docker_an_image_is_not_built(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_pool(fleet, "dockerless", "docker")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="build=False"):
        containerized.deploy("dockerless", work_pool_name="dockerless", image="own:1", print_next_steps=False)


def test_what_runs_for_nobody_is_ended(fleet: Fleet, programs: FakePrograms) -> None:
    pool = create_pool(fleet, "orphans", "docker")
    labels = labels_of_pool(fleet.broker.namespace, pool.id)
    docker = Docker()

    def started(name: str, **more: str) -> Handle:
        given = {"image": "a", "command": "sleep 600", "auto_remove": name == "removed"}
        of_run = {RUN: new_run_id(), DELIVERY: "0" * 16, WORKER: "gone"} | more
        return docker.start(Wanted(Job({}, None, "docker", given), name, labels | of_run, {}))

    kept, removed, young = started("kept"), started("removed"), started("young", **{WORKER: "living"})
    fleet.broker.consumers.beat(["living"], 60)
    adoption = Adoption(fleet, "orphans", labels, docker, set(), lambda: False, stale_seconds=3600)
    adoption.look()
    assert docker.look(kept).phase is not Phase.ENDED  # its process may be about to say that its ticket is stale
    adoption = Adoption(fleet, "orphans", labels, docker, set(), lambda: False, stale_seconds=0)
    adoption.look()
    assert docker.look(kept).phase is Phase.ENDED
    assert docker.look(removed).phase is Phase.GONE
    assert not docker.look(young).is_over
    adoption.look()


def test_a_process_that_nobody_started_for_a_run_says_so(command: Command) -> None:
    done = command("flow-run", "execute")
    assert (done.returncode, "deployment run FLOW/NAME" in done.stderr) == (1, True)
