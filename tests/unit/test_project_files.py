"""``orchestrator.yaml`` and ``prefect.yaml``: what they say of deployments, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from orchestrator.deployments.project_file import deployments_in, find_project_file, read_project_file, selected
from orchestrator.deployments.project_steps import filled_in, run_steps
from orchestrator.errors import ConfigurationError

OF_PREFECT = """
name: shop
prefect-version: 3.0.0
build: null
push: null
pull:
- prefect.deployments.steps.set_working_directory: {directory: /opt/shop}
deployments:
- name: nightly
  entrypoint: flows/etl.py:load
  version: "7"
  tags: [etl]
  parameters: {days: 3}
  schedules:
  - {cron: 0 6 * * *, timezone: Europe/Oslo, active: true, slug: morning}
  concurrency_limit: {limit: 2, collision_strategy: CANCEL_NEW}
  work_pool: {name: my-pool, work_queue_name: default, job_variables: {cpu: 1}}
- {name: by-hand, entrypoint: "flows/etl.py:load", schedules: []}
"""


def described(text: str, tmp_path: Path, name: str = "prefect.yaml") -> Any:
    (tmp_path / name).write_text(text)
    file = find_project_file(tmp_path)
    assert file is not None
    return read_project_file(file)


def test_a_file_of_prefect_is_read(tmp_path: Path) -> None:
    nightly, by_hand = described(OF_PREFECT, tmp_path)
    assert (nightly.name, nightly.entrypoint, nightly.left_out) == ("nightly", "flows/etl.py:load", ("pull",))
    assert nightly.options == {
        "version": "7",
        "tags": ["etl"],
        "parameters": {"days": 3},
        "schedules": [{"cron": "0 6 * * *", "timezone": "Europe/Oslo", "active": True, "slug": "morning"}],
        "concurrency_limit": ConcurrencyLimitConfig(limit=2, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        "work_pool_name": "my-pool",
        "work_queue_name": "default",
        "job_variables": {"cpu": 1},
    }
    assert by_hand.options == {"schedules": []}  # which removes those that there are


def test_our_own_file_is_read_before_prefects(tmp_path: Path) -> None:
    (tmp_path / "prefect.yaml").write_text("nothing: []")
    (ours,) = described("deployments: [{name: ours, entrypoint: a.py:b}]", tmp_path, "orchestrator.yaml")
    assert ours.name == "ours"
    assert find_project_file(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("deployments: [", "is no YAML"),
        ("name: shop", "describes no deployments"),
        ("deployments: [7]", "deployment 1 is no table"),
        ("deployments: [{entrypoint: a.py:b}]", "deployment 1 has no name"),
        ("deployments: [{name: 7}]", "name is 7, and must be a text"),
        ("deployments: [{name: a, cron: '@daily'}]", "has cron, which is not known"),
        ("deployments: [{name: a, tags: etl}]", "tags is 'etl', and must be a list"),
        ("deployments: [{name: a, work_pool: my-pool}]", "work_pool is 'my-pool', and must be a table"),
        ("deployments: [{name: a, concurrency_limit: {limit: many}}]", "concurrency_limit"),
        ("deployments: [{name: a, build: [make]}]", "a step of build is 'make'"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=told) as error:
        described(text, tmp_path)
    assert "\n" not in str(error.value)


def test_deployments_are_selected_by_names_patterns_and_whole_names() -> None:
    some = deployments_in({"deployments": [{"name": name} for name in ("one", "other", "third")]}, "file")
    assert [one.name for one in selected(some, ["third", "o*"])] == ["one", "other", "third"]
    assert [one.name for one in selected(some, ["etl/other"])] == ["other"]
    with pytest.raises(ConfigurationError, match="no deployment 'fourth'; it has: one, other, third"):
        selected(some, ["fourth"])


def test_steps_are_run_in_turn_and_what_they_gave_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "test")
    script = "prefect.deployments.steps.run_shell_script"
    outputs = run_steps(
        [
            {
                script: {
                    "id": "first",
                    "script": "echo made > here; echo $WHAT",
                    "directory": str(tmp_path),
                    "env": {"WHAT": 7},
                }
            },
            {script: {"id": "second", "script": "echo {{ first.stdout }}-{{ $STAGE }}"}},
        ]
    )
    assert (tmp_path / "here").read_text() == "made\n"
    assert filled_in({"tags": ["{{ second.stdout }}", 3]}, outputs) == {"tags": ["7-test", 3]}
    with pytest.raises(ConfigurationError, match=r"\{\{ third.stdout \}\} cannot be filled in"):
        filled_in("{{ third.stdout }}", outputs)


def test_a_step_that_fails_or_is_not_known_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="ended with code 3: broken"):
        run_steps([{"run_shell_script": {"script": "echo broken >&2; exit 3"}}])
    with pytest.raises(ConfigurationError, match="build_docker_image is not known here"):
        run_steps([{"prefect_docker.deployments.steps.build_docker_image": {"image_name": "shop"}}])
