"""A task that writes down when it begins and ends, so that one can count how many ran at once."""

from __future__ import annotations

import os
import time

from orchestrator import task
from orchestrator.concurrency.sync import concurrency


def note(book: str, change: bytes) -> None:
    with open(book, "ab", buffering=0) as file:
        file.write(change + b"\n")


@task
def counted(book: str) -> None:
    note(book, b"+1")
    time.sleep(0.02)  # so that others could begin
    note(book, b"-1")


@task
def dies_in_a_block(book: str) -> str:
    with concurrency("fragile", lease_duration=3600):
        if not os.path.exists(book):
            note(book, b"holds")
            os._exit(7)
        return "went on"
