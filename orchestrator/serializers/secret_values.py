"""Pydantic's SecretStr and SecretBytes: their value travels, so that the task can use it, and arrives as a secret.

Logs, messages and reprs mask it. The store holds it in the clear, as it holds every other argument, unless
``ORCHESTRATOR_ENCRYPTION_KEY`` is set, which a fleet with secrets in its arguments should do.
"""

from __future__ import annotations

import sys
from typing import Any

from orchestrator.serializers.extensions import Writer, readers
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import SECRET, ExtType


def find(cls: type) -> Writer | None:
    """The writer of a secret."""
    types = sys.modules.get("pydantic.types")
    return _write_secret if types is not None and cls in (types.SecretStr, types.SecretBytes) else None


def _write_secret(secret: Any, packing: Packing) -> object:
    return ExtType(SECRET, packing.pack(secret.get_secret_value()))


def _read_secret(data: bytes, reading: Reading) -> Any:
    value = reading.unpack(data)
    try:
        from pydantic import SecretBytes, SecretStr
    except ImportError:  # without pydantic nobody here expects the wrapper
        return value
    return SecretBytes(value) if isinstance(value, bytes) else SecretStr(value)


readers[SECRET] = _read_secret
