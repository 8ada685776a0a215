"""Signs between processes of a test: files in a folder that all of them know."""

from __future__ import annotations

from pathlib import Path

from tests.support.waiting import wait_until


def give(sign: str) -> None:
    """Put up a sign; a further time adds to its count."""
    with open(sign, "a") as file:
        file.write(".")


def count(sign: str | Path) -> int:
    """How often a sign was given."""
    path = Path(sign)
    return path.stat().st_size if path.exists() else 0


def wait_for(sign: str | Path, times: int = 1, timeout: float = 20.0) -> None:
    """Wait until a sign was given so often."""
    wait_until(lambda: count(sign) >= times, timeout, f"the sign {sign} given {times} times")
