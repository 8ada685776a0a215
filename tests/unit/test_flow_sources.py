"""Flows of folders and repositories, as ``flow.from_source`` finds them."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator import Flow, flow
from orchestrator.blocks.core import Block
from orchestrator.blocks.system import Secret
from orchestrator.errors import ConfigurationError, MissingFlowError
from orchestrator.filesystems import RemoteFileSystem
from orchestrator.runner.storage import GitRepository, LocalStorage, RemoteStorage

SCRIPT = "from orchestrator import flow\n@flow\ndef load_it(): return {value!r}\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository whose default branch has another value than its branch ``release`` and its first commit."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "shop"
    folder.mkdir()
    for value in ("first", "release", "newest"):
        (folder / f"flow_of_{value}.py").write_text(SCRIPT.format(value=value))
        words = [["init", "-q"]] if value == "first" else []
        for each in (*words, ["add", "."], ["commit", "-qm", value], ["branch", value]):
            git(folder, *each)
    yield folder
    for name in [name for name in sys.modules if name.startswith("flow_of_")]:
        del sys.modules[name]


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_decorator_finds_flows_as_prefects_pages_have_it(repository: Path) -> None:
    found = flow.from_source(source=repository, entrypoint="flow_of_newest.py:load_it")
    assert (found.name, found()) == ("load-it", "newest")
    assert Flow.from_source(str(repository), "flow_of_first.load_it").name == "load-it"
    assert found.from_source(str(repository), "flow_of_release.py:load_it")() == "release"


def test_on_an_event_loop_it_is_awaited(repository: Path) -> None:
    async def deploys() -> tuple[Any, Any]:
        found = await flow.from_source(f"file://{repository}", "flow_of_newest.py:load_it")
        return found, await found.to_deployment("nightly", cron="0 2 * * *")

    found, deployment = asyncio.run(deploys())
    assert (found(), deployment.full_name, deployment.schedules[0].cron) == ("newest", "load-it/nightly", "0 2 * * *")


def test_a_branch_and_a_commit_of_a_repository(repository: Path) -> None:
    url = f"file://{repository}"
    first = git(repository, "rev-parse", "first")
    folders = [
        GitRepository(url).fetch(),
        GitRepository(url, branch="release", name="any", pull_interval=None).fetch(),
        GitRepository(url, commit_sha=first, include_submodules=True).fetch(),
    ]
    files = [sorted(path.stem.removeprefix("flow_of_") for path in folder.glob("*.py")) for folder in folders]
    assert files == [["first", "newest", "release"], ["first", "release"], ["first"]]
    assert GitRepository(url, commit_sha=first, include_submodules=True).fetch() == folders[2]
    with pytest.raises(ConfigurationError, match="cannot be cloned"):
        GitRepository(url, branch="no-such-branch").fetch()


class HostCredentials(Block):
    token: SecretStr
    username: str | None = None


@pytest.mark.parametrize(
    ("host", "credentials", "login"),
    [
        ("git.example", {"access_token": "t0ken"}, "x-access-token:t0ken"),
        ("git.example", "t0ken", "x-access-token:t0ken"),
        ("git.example", {"username": "me", "password": SecretStr("t0ken")}, "me:t0ken"),
        ("git.example", Secret(value="12345"), "x-access-token:12345"),
        ("gitlab.example", {"access_token": Secret(value="t0ken")}, "oauth2:t0ken"),
        ("gitlab.example", HostCredentials(token=SecretStr("t0ken"), username="me"), "me:t0ken"),
        ("bitbucket.example", HostCredentials(token=SecretStr("t0ken")), "x-token-auth:t0ken"),
        ("bitbucket.example", {"access_token": "x-token-auth:t0ken"}, "x-token-auth:t0ken"),
    ],
)
def test_credentials_are_told_to_git_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, credentials: Any, login: str
) -> None:
    program = tmp_path / "git"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/words\necho "$GIT_CONFIG_KEY_0 $GIT_CONFIG_VALUE_0" > {tmp_path}/told\n'
        "echo refused >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    repository = GitRepository(f"https://{host}/shop.git", credentials=credentials)
    with pytest.raises(ConfigurationError, match="refused") as told:
        repository.fetch()
    key, _, value = (tmp_path / "told").read_text().strip().partition(" ")
    assert (key, value.split()[:2]) == (f"http.https://{host}/.extraHeader", ["Authorization:", "Basic"])
    assert base64.b64decode(value.split()[2]).decode() == login
    secret = login.partition(":")[2]
    texts = [(tmp_path / "words").read_text(), str(told.value), repr(repository)]
    assert not [text for text in texts if secret in text]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"credentials": {"username": "me"}}, "no access_token, token or password"),
        ({"credentials": {"access_token": "x"}, "url": "git@host:shop.git"}, "for https URLs"),
        ({"branch": "a", "commit_sha": "b"}, "give one of them"),
        ({"branch": "--upload-pack=rm"}, "begins with a dash"),
        ({"url": "-x"}, "begins with a dash"),
    ],
)
def test_a_repository_that_cannot_be_one_is_refused_where_it_is_written(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        GitRepository(**({"url": "https://git.example/shop.git"} | options))


@pytest.fixture
def bucket(repository: Path) -> str:
    """The address of the newest files of the repository, in a file system of fsspec."""
    url = f"memory://flows-{repository.parent.name}"
    RemoteFileSystem(basepath=url).put_directory(str(repository))
    return url


@pytest.mark.parametrize("made", [str, RemoteStorage])
def test_code_in_a_bucket(made: Any, bucket: str) -> None:
    assert flow.from_source(made(bucket), "flow_of_newest.py:load_it")() == "newest"


def test_a_bucket_is_fetched_into_the_same_folder_until_it_changes(bucket: str) -> None:
    storage = RemoteStorage(bucket, pull_interval=None)
    first = storage.fetch()
    assert storage.fetch() == first
    RemoteFileSystem(basepath=bucket).write_path("more.py", b"")
    assert storage.fetch() != first
    assert not (first / "more.py").exists()


def test_a_folder_of_this_machine_under_prefects_name(repository: Path) -> None:
    assert flow.from_source(LocalStorage(str(repository)), "flow_of_first.py:load_it")() == "first"


def test_secrets_of_a_bucket_are_shown_nowhere() -> None:
    given = {"key": SecretStr("pa55"), "secret": "pa55"}
    assert repr(RemoteStorage("s3://me:pa55@bucket", **given)) == "RemoteStorage(url='s3://***@bucket')"
    for url in ("me:pa55", "file:///me:pa55", "//me:pa55@bucket"):
        with pytest.raises(ValueError, match="is no address") as refused:
            RemoteStorage(url, **given)
        assert "pa55" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("nowhere://me:pa55@bucket/flows", ConfigurationError, r"nowhere://\*\*\*@bucket/flows cannot be fetched"),
        ("/no/such/folder", MissingFlowError, "there is no folder '/no/such/folder'"),
        (None, TypeError, "or a GitRepository"),
    ],
)
def test_another_source_is_told(source: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        flow.from_source(source, "etl.py:load")
