"""What is in a file of a result: one line of JSON that says what it is, then the packed value.

A value that is written as JSON, where nothing is signed or encrypted, is plain JSON in the file. Anything else is a
body as records have it (``serializers``), with the same rules of trust: where there are keys it is signed or encrypted,
bound to its key and to the line above it; a pickle that no key of ours has signed is never read.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from orchestrator import serializers
from orchestrator.errors import SerializationError
from orchestrator.runnables.result_options import COMPRESSED
from orchestrator.serializers import json_format, protection
from orchestrator.serializers.framing import PayloadLimits, disclose, enclose

_MAGIC: Final = "orchestrator_result"
_VERSION: Final = 1
_NO_LIMIT: Final = 1 << 40
AS_IT_IS: Final = PayloadLimits(compress_above_bytes=_NO_LIMIT, max_bytes=_NO_LIMIT)
_UNKNOWN: Final = PayloadLimits(compress_above_bytes=_NO_LIMIT, max_bytes=1 << 30)  # what others may make us inflate
_COMPRESSED: Final = PayloadLimits(compress_above_bytes=0, max_bytes=_NO_LIMIT)
_JSON_TAG: Final = bytes((json_format.JSON,))
_LONGEST_HEAD: Final = 65_536


class Head(NamedTuple):
    """The first line of a file."""

    key: str
    run_id: str
    task: str
    serializer: str
    written: datetime
    expires: datetime | None = None
    host: str = ""
    is_json: bool = False  # what follows is text, as it is

    def line(self) -> bytes:
        """Its bytes."""
        facts = {
            _MAGIC: _VERSION,
            "storage_key": self.key,
            "run_id": self.run_id,
            "task": self.task,
            "serializer": self.serializer,
            "written": self.written.isoformat(),
            "expiration": self.expires.isoformat() if self.expires is not None else None,
            "host": self.host,
            "json": self.is_json,
        }
        return json.dumps(facts).encode() + b"\n"

    def is_expired(self) -> bool:
        """Whether it is too old to be found by its key."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


class Packed(NamedTuple):
    """A file: its bytes, and the digest of the value in it."""

    head: Head
    content: bytes
    digest: str


def packed(
    value: Any, key: str, *, run_id: str, task: str, serializer: str | None, expires: datetime | None = None
) -> Packed:
    """The file of a value.

    Raises:
        SerializationError: the value cannot be written so; says what to do.
    """
    name = serializer or "msgpack"
    head = Head(key, run_id, task, name, datetime.now(UTC), expires, platform.node())
    body = body_of(value, key, name)
    digest = hashlib.sha256(body).hexdigest()
    if body[:1] == _JSON_TAG and not protection.wanted:
        head = head._replace(is_json=True)
        return Packed(head, head.line() + body[1:], digest)
    line = head.line()
    return Packed(head, line + enclose(body, lambda: _context(key, line), AS_IT_IS), digest)


def body_of(value: Any, key: str, serializer: str) -> bytes:
    """The value as a body that is not protected yet, but for a pickle, which is signed for its key."""
    limits = _COMPRESSED if serializer.startswith(COMPRESSED) else AS_IT_IS
    return serializers.pack_value(
        value,
        context=lambda: ("stored result", key),
        limits=limits,
        serializer=serializer.removeprefix(COMPRESSED),
        enclosed=True,
    )


def unpacked(content: bytes, key: str, digest: str | None = None) -> tuple[Head, Any, str]:
    """The head of a file, its value, and its digest.

    Args:
        content: its bytes.
        key: its name.
        digest: of the value that is looked for, if that is known.

    Raises:
        UntrustedPayload: its signature is missing or wrong. SerializationError: it is no file of a result, or damaged.
        OtherResult: it holds another value.
    """
    head, line, rest = head_of(content, key)
    if head.is_json:
        protection.demand_signature()
        body = _JSON_TAG + rest
    else:
        body = disclose(rest, lambda: _context(key, line), _UNKNOWN)
    found = hashlib.sha256(body).hexdigest()
    if digest is not None and found != digest:
        raise OtherResult(head)
    limits = AS_IT_IS if digest is not None else _UNKNOWN  # a record vouches for what it has the digest of
    value = serializers.unpack_value(body, context=lambda: ("stored result", key), limits=limits, enclosed=True)
    return head, value, found


class OtherResult(SerializationError):
    """A file holds another value than the one that was written by the run that is asked about."""

    def __init__(self, head: Head) -> None:
        super().__init__(f"it was replaced by run {head.run_id} at {head.written:%Y-%m-%d %H:%M:%S %Z}, or changed")
        self.head = head


def head_of(content: bytes, key: str) -> tuple[Head, bytes, bytes]:
    """The first line of a file, as fields and as bytes, and what follows. Raises SerializationError: it has none."""
    end = content.find(b"\n", 0, _LONGEST_HEAD) + 1
    try:
        facts = json.loads(content[:end])
        if facts[_MAGIC] > _VERSION:
            raise SerializationError("it was written by a newer version")
        head = _head_from(facts)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, SerializationError):
            raise
        raise SerializationError("it is no file that a result was written to") from None
    if head.key != key:
        raise SerializationError("it is the file of another key, which was moved or copied here")
    return head, content[:end], content[end:]


def _head_from(facts: Mapping[str, Any]) -> Head:
    texts = [facts[name] for name in ("storage_key", "run_id", "task", "serializer")]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    written, until = datetime.fromisoformat(facts["written"]), facts["expiration"]
    expires = datetime.fromisoformat(until) if until else None
    if written.tzinfo is None or (expires is not None and expires.tzinfo is None):
        raise ValueError
    key, run_id, task, serializer = texts
    host, is_json = str(facts.get("host", "")), facts.get("json") is True
    return Head(key, run_id, task, serializer, written, expires, host, is_json)


def _context(key: str, line: bytes) -> tuple[str | bytes, ...]:
    return ("stored result", key, line)
