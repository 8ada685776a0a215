"""Results as JSON, for readers that are not Python.

Comes back as what JSON knows: tuples as lists, dates, models and dataclasses as text and dicts, a future as its run id.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from orchestrator.serializers.dependencies import Dependency
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.reading import Reading

JSON: Final = 2


def pack(value: Any, packing: Packing) -> bytes:
    """``value`` as UTF-8 JSON."""
    import json  # 3 ms at import, for the few who use it

    text = json.dumps(value, default=_as_json, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def unpack(data: bytes, reading: Reading) -> Any:
    """The value in some JSON."""
    return _loaded(data)


def _loaded(data: bytes) -> Any:
    import json

    return json.loads(data.decode("utf-8", "surrogatepass"))


def _as_json(obj: Any) -> Any:
    if isinstance(obj, Dependency):
        return obj.run_id
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return {field.name: getattr(obj, field.name) for field in dataclasses.fields(obj)}
    try:
        from pydantic_core import to_json
    except ImportError:
        raise TypeError(f"JSON does not know {type(obj).__qualname__}, and pydantic is not installed") from None
    return _loaded(to_json(obj, inf_nan_mode="constants", fallback=_as_json_fallback))


def _as_json_fallback(obj: Any) -> Any:
    if isinstance(obj, Dependency):
        return obj.run_id
    raise TypeError(f"JSON does not know {type(obj).__qualname__}")
