"""Where code is from: no password in a repository's URL is kept, and no code is taken from somebody else's folder."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from orchestrator.deployments.code_origin import git_commit
from orchestrator.deployments.git_repository import GitRepository
from orchestrator.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://ci-token:s3cr3t@git.example/shop.git", "https://git.example/shop.git"),
        ("https://git.example/shop.git", "https://git.example/shop.git"),
        ("git@git.example:shop.git", "git@git.example:shop.git"),
    ],
)
def test_the_token_with_which_a_repository_was_cloned_is_kept_nowhere(tmp_path: Path, url: str, kept: str) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"], ["remote", "add", "origin", url]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    commit, repository = git_commit(tmp_path)
    assert (len(commit), repository) == (40, kept)


def test_nothing_is_cloned_into_a_folder_that_somebody_else_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    others = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: others)
    with pytest.raises(ConfigurationError, match="somebody else"):
        GitRepository("https://git.example/shop.git").fetch()
