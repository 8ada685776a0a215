"""Tasks and flows whose results are in files: in a storage that their caller names, or that of the setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator import flow, task
from orchestrator.cache_policies import INPUTS
from tests.support import signals


@task
def letters(count: int) -> str:
    return "x" * count


@task
async def letters_async(count: int) -> str:
    return "y" * count


@task(cache_policy=INPUTS)
def counted(number: int, sign: str) -> list[int]:
    signals.give(sign)
    return [number, signals.count(sign)]


@task(retries=1, retry_delay_seconds=0)
def second_time(sign: str) -> str:
    signals.give(sign)
    if signals.count(sign) == 1:
        raise ValueError("not yet")
    return "now"


@task
def called(sign: str) -> int:
    signals.give(sign)
    return signals.count(sign)


@task
def pair(one: Any, two: Any) -> tuple[Any, Any]:
    return one, two


@flow
def sent(count: int) -> str:
    return letters.submit(count).result()


@flow(persist_result=True)
def deployed(value: int) -> int:
    return value * 2


def files_in(folder: str | Path) -> list[Path]:
    """The files of a storage."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.name.startswith("."))
