"""Which project a program belongs to, and the namespace of it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.client import project
from orchestrator.client.fleet import Fleet
from orchestrator.client.no_worker import hints
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two projects, and a folder that is none."""
    for name, mark in (("shop", "pyproject.toml"), ("mail", ".git")):
        (tmp_path / name / "src" / "deep").mkdir(parents=True)
        (tmp_path / name / mark).touch()
    (tmp_path / "loose").mkdir()
    (tmp_path / "shop" / "src" / "jobs.py").touch()
    monkeypatch.setattr(project, "_begun_at", None)
    monkeypatch.delenv(project.VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
    monkeypatch.chdir(tmp_path / "loose")
    return tmp_path


def run_script(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=str(path)))


def test_the_folder_above_the_script_or_else_the_current_one(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.folder() == places / "loose"
    run_script(places / "shop" / "src" / "jobs.py", monkeypatch)
    assert project.folder() == places / "shop"
    run_script(places / "alone.py", monkeypatch)
    assert project.folder() == places / "loose", "nothing marks a folder above it"
    monkeypatch.chdir(places / "mail" / "src" / "deep")
    run_script(Path(sys.executable).parent / "pytest", monkeypatch)
    assert project.folder() == places / "mail", "a program that was installed is no script of a project"


@pytest.mark.parametrize("app", ["src/jobs.py", "src.jobs", "./src/jobs.py", "src/jobs.py:anything"])
def test_the_folder_above_what_a_worker_serves(app: str, places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(places / "shop")
    project.begin_at([app])
    monkeypatch.chdir(places / "mail")
    assert project.folder() == places / "shop"


def test_an_app_that_is_installed_or_missing_belongs_to_the_current_folder(places: Path) -> None:
    project.begin_at(["json", "nowhere.at.all"])
    assert project.folder() == places / "loose"


def namespace(**settings: Any) -> str:
    return Fleet(Settings(**settings)).settings.namespace


def test_each_project_has_a_namespace_on_the_private_server_and_a_name_shares_one(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = namespace()
    monkeypatch.chdir(places / "shop" / "src")
    shop = namespace()
    assert shop != loose
    assert shop.startswith("orchestrator-shop-")
    assert namespace(project=str(places / "shop" / "src")) == shop, "a folder stands for the project that it is in"
    monkeypatch.chdir(places / "shop")
    assert namespace() == shop
    assert namespace(project="ours") == "orchestrator-ours"
    assert namespace(namespace="orchestrator") == "orchestrator", "who names one gets that one"
    assert namespace(redis_url="redis://localhost") == "orchestrator", "servers that were set up are shared"
    assert len(namespace(project="n" * 24)) <= 40
    with pytest.raises(ConfigurationError, match="ORCHESTRATOR_PROJECT='a b' is not allowed"):
        Settings(project="a b")


def test_what_is_said_of_calls_that_wait() -> None:
    workers = {"w": {"queues": "default,mail", "tasks": "shop.load,other.send"}}
    assert hints([("default", "shop.load", None)], workers) == {}
    (told,) = hints([("slow", "shop.load", None)], workers).values()
    assert "no live worker serves the queue slow" in told
    assert "-A shop -Q slow" in told
    (told,) = hints([("default", "pkg.tasks.send[x]#12", None)], workers).values()
    assert "no live worker of the queue default knows pkg.tasks.send[x]#12" in told
    assert "-A pkg.tasks -Q default" in told
    (told,) = hints([("default", "script.load", None)], workers).values()
    assert "known there are shop.load" in told
