"""Every script is one that the server compiles, whatever it is used for: Lua counts local names, up to 200."""

from __future__ import annotations

from importlib.resources import files

import pytest

from brokers.redis.scripts import load
from tests.support.carriage import Calls

NAMES = sorted(
    file.name.removesuffix(".lua") for file in files("brokers.redis.scripts").iterdir() if file.name.endswith(".lua")
)


@pytest.mark.parametrize("carried", [False, True], ids=["streams", "carried"])
@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_compiled(calls: Calls, name: str, carried: bool) -> None:
    script = load(name, carried)
    assert calls.command("SCRIPT", "LOAD", script.text).decode() == script.sha
