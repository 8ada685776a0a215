"""ARCHITECTURE.md is short, names files that are there, and says what the words of the house mean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:brokers|orchestrator|task_workers|docs|tests)/[\w./]*)`", TEXT)))
MAX_WORDS = 1150


@pytest.mark.parametrize("name", NAMED)
def test_what_it_names_is_there(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_way_of_a_call_names_a_file_at_each_step() -> None:
    way = TEXT[TEXT.index("## The way of one call") : TEXT.index("A **ticket** is")]
    steps = re.split(r"^\d+\. ", way, flags=re.MULTILINE)[1:]
    assert len(steps) == 6
    assert all(any(f"`{name}`" in step for name in NAMED) for step in steps)


def test_rooms_of_the_tree_are_there() -> None:
    tree = re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)[0]
    floor, missing = "", []
    for line in tree.splitlines():
        if found := re.match(r"(\w+)/", line):
            floor = found[1]
        for room in re.findall(r"(?<![\w/])(\w+)/(?=\s|$)", line):
            if room != floor and not (ROOT / floor / room).is_dir():
                missing.append(f"{floor}/{room}")
    assert missing == []


def test_it_stays_short() -> None:
    assert len(TEXT.split()) <= MAX_WORDS
