"""The longest span that is waited for, or for which anything is kept, and the largest count."""

from __future__ import annotations

from typing import Final

LONGEST_SECONDS: Final = 100 * 365 * 86_400.0
"""A hundred years. Much longer ones are more than the waits of a thread, integers of a message and Lua's texts of
numbers can hold, so that one of them would stop whoever has to send or wait for it, and everybody who comes after."""

LARGEST_COUNT: Final = 1_000_000_000
"""Of what people count: places, calls, bytes. Scripts and messages take no integer above 2**53."""
