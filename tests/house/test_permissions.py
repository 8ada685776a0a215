"""``orchestrator acl`` allows every command that the project sends, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from brokers.redis import health
from brokers.redis.health import PERMISSIONS, acl_rules

FOLDER = Path(health.__file__).parents[1]
WITH_SUBCOMMANDS = ("XGROUP", "XINFO", "CLIENT")
NEEDS_NO_PERMISSION = {"auth"}
TO_SENTINELS = {"sentinel"}


def written(pattern: str, files: str) -> set[str]:
    """The commands in the sources, as rules are written: ``xadd``, ``xgroup|create``."""
    found: set[str] = set()
    for file in FOLDER.rglob(files):
        for command, subcommand in re.findall(pattern, file.read_text()):
            assert subcommand or command not in WITH_SUBCOMMANDS, f"{file}: which {command}?"
            found.add(f"{command}|{subcommand}".lower() if command in WITH_SUBCOMMANDS else command.lower())
    return found


def used() -> set[str]:
    in_scripts = written(r"redis\.p?call\(\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?", "*.lua")
    in_python = written(r"\(\s*\"([A-Z]+)\"(?:,\s*\"([A-Z]+)\")?[,)]", "*.py")
    assert len(in_scripts) > 30
    assert len(in_python) > 15
    return (in_scripts | in_python) - TO_SENTINELS - NEEDS_NO_PERMISSION


def test_every_command_that_is_sent_is_allowed() -> None:
    assert used() - set(PERMISSIONS) == set()


def test_nothing_is_allowed_that_is_never_sent() -> None:
    assert set(PERMISSIONS) - used() == set()


def test_every_call_of_a_script_names_its_command() -> None:
    """Otherwise the two tests above would not see it."""
    for file in FOLDER.rglob("*.lua"):
        calls = re.findall(r"redis\.p?call\(\s*(.)", file.read_text())
        assert set(calls) <= {"'"}, file


def test_the_rules_forget_what_the_user_was_allowed_before() -> None:
    words = acl_rules("shop", "worker").split()
    assert words[3:5] == ["reset", "on"]
    assert "~{shop}:*" in words
    assert [word for word in words if word.startswith("~")] == ["~{shop}:*"]
