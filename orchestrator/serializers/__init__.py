"""Values become bytes and come back.

A body is msgpack with extension types for what Python people pass; anything else is pickled, and a body with a pickle
in it is signed. Where the fleet has keys, every body is signed, or encrypted (``protection.py``). Nothing that is read
imports or constructs by name, and no signature is looked at after the data it vouches for.

The way of a value: ``calls.py`` or ``values.py`` -> ``packing.py`` (msgpack asks it about types it does not know) ->
``extensions.py`` (which function writes this type) -> the function -> ``framing.py`` (compress, encrypt, sign). Back:
``framing.py`` -> ``reading.py`` -> the function.

To add a type see ``catalogue.py``; to add a serializer, write one like ``json_format.py`` and register it below.
"""

from __future__ import annotations

from orchestrator.serializers import catalogue as catalogue
from orchestrator.serializers import json_format, known_types, pickling
from orchestrator.serializers.calls import (
    OpenedCall,
    PackedCall,
    is_plain_call,
    open_call,
    pack_call,
    read_call,
    read_plain_call,
    resealed_call,
    unpack_call,
)
from orchestrator.serializers.dependencies import Dependency, Handle, set_handle_factory
from orchestrator.serializers.encryption import CipherRing
from orchestrator.serializers.exceptions import pack_exception, unpack_exception
from orchestrator.serializers.extensions import register_replacement
from orchestrator.serializers.framing import PayloadLimits, disclose, enclose, encloses_as_now, is_signed
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.protection import NO_PROTECTION, Protection, protect, signs
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.result_serializers import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
)
from orchestrator.serializers.signing import KeyRing, key_ring, set_key_ring
from orchestrator.serializers.values import pack_value, register_serializer, serializer_names, unpack_value

__all__ = [
    "NO_PROTECTION",
    "CipherRing",
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
    "Dependency",
    "Handle",
    "JSONSerializer",
    "KeyRing",
    "OpenedCall",
    "PackedCall",
    "Packing",
    "PayloadLimits",
    "PickleSerializer",
    "Protection",
    "Reading",
    "Serializer",
    "disclose",
    "enclose",
    "encloses_as_now",
    "is_plain_call",
    "is_signed",
    "key_ring",
    "known_types",
    "open_call",
    "pack_call",
    "pack_exception",
    "pack_value",
    "protect",
    "read_call",
    "read_plain_call",
    "register_replacement",
    "register_serializer",
    "resealed_call",
    "serializer_names",
    "set_handle_factory",
    "set_key_ring",
    "signs",
    "unpack_call",
    "unpack_exception",
    "unpack_value",
]

register_serializer("json", json_format.pack, json_format.unpack, json_format.JSON)
register_serializer("pickle", pickling.dump_signed, pickling.load, pickling.PICKLE_FORMAT)
