"""Formats of results as objects, under the names of Prefect 3 (``prefect.serializers``): for ``result_serializer=``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Serializer:
    """A format by its name, as ``result_serializer="json"`` gives it.

    >>> Serializer("json")
    Serializer(type='json')
    """

    type: str


@dataclass(frozen=True)
class JSONSerializer(Serializer):
    """JSON, which any program reads."""

    type: str = field(default="json", init=False)


@dataclass(frozen=True)
class PickleSerializer(Serializer):
    """Pickles, signed; needs ``ORCHESTRATOR_SECRET_KEY``."""

    type: str = field(default="pickle", init=False)


@dataclass(frozen=True)
class CompressedSerializer(Serializer):
    """Another format, always compressed.

    >>> CompressedSerializer(serializer="json").serializer
    'json'
    """

    type: str = field(default="compressed", init=False)
    serializer: Any = "msgpack"


class CompressedJSONSerializer(CompressedSerializer):
    """Compressed JSON."""

    def __init__(self) -> None:
        super().__init__(serializer="json")


class CompressedPickleSerializer(CompressedSerializer):
    """Compressed, signed pickles."""

    def __init__(self) -> None:
        super().__init__(serializer="pickle")
