"""The context variables that a call begins with: its own copy, so that no call sees what another one has set."""

from __future__ import annotations

import sys
from contextvars import Context
from typing import Any


class Surroundings:
    """Makes a context for each call.

    Args:
        base: what every call begins with; nothing (as in a new thread) unless given.
    """

    def __init__(self, base: Context | None = None) -> None:
        self._base = base if base is not None else Context()
        # A decimal context is one object that a copied context would share, and ``getcontext().prec = 5`` changes it.
        self._decimal = _decimal_context_in(self._base)

    def context(self) -> Context:
        """A context for one call."""
        context = self._base.copy()
        if self._decimal is not None:
            from decimal import setcontext

            context.run(setcontext, self._decimal.copy())
        return context


def _decimal_context_in(context: Context) -> Any:
    decimal = sys.modules.get("decimal")
    if decimal is None:
        return None
    return next((value for value in context.values() if isinstance(value, decimal.Context)), None)
