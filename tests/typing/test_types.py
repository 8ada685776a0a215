"""Parameter and return types go through ``task``, ``flow``, ``submit``, ``map``, ``delay`` and handles."""

from __future__ import annotations

from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
CHECKED = "tests/typing/what_types_stay.py"


def test_mypy_agrees_with_every_line() -> None:
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--strict", "--no-error-summary"]
    told, problems, _ = api.run([*options, str(ROOT / CHECKED)])
    ours = [line for line in told.splitlines() if CHECKED in line]
    assert not ours, "\n".join(ours)
    assert not problems, problems
