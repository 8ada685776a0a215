"""Connections to the store that break at a chosen moment: before a command is sent, or when its reply is on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import redis.exceptions as server_says

from brokers.redis.transport.protocol import Dialogue


class Cut:
    """Breaks connections of this process.

    Args:
        monkeypatch: undoes it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch, self._exchange = monkeypatch, Dialogue.exchange

    def at(self, part: str, times: int = 1, reply_only: bool = False) -> None:
        """Break at the next so many writes with this argument: before them, or (``reply_only``) after them."""
        left, exchange = [times], self._exchange

        def breaking(dialogue: Dialogue, batch: Sequence[Sequence[Any]], *arguments: Any) -> list[Any]:
            if not left[0] or not any(part in command for command in batch):
                return exchange(dialogue, batch, *arguments)
            left[0] -= 1
            if reply_only:
                exchange(dialogue, batch, *arguments)
            raise server_says.ConnectionError("cut")

        self._monkeypatch.setattr(Dialogue, "exchange", breaking)
