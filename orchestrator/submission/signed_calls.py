"""What the signature of a call, or its encryption, is bound to."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from brokers.messages import Envelope
from orchestrator import serializers
from orchestrator.serializers.framing import PLAIN_MSGPACK
from orchestrator.serializers.signing import SharedContext

LONGEST_REMEMBERED: Final = 1024  # characters and bytes of name and meta: what a hostile one costs ends with its call


def call_context(task_key: str, run_id: str, meta: bytes | None) -> bytes:
    """What a signed call is bound to: its body is worth nothing under another name or id.

    The meta says all the rest: version, queue, options. The calls of a block share all but the id, which is the block's
    name and the place in it.
    """
    meta = meta or b""
    short = len(task_key) + len(meta) <= LONGEST_REMEMBERED
    return (_shared_context if short else _shared_context.__wrapped__)(task_key, meta).of(run_id)


@lru_cache(maxsize=256)
def _shared_context(task_key: str, meta: bytes) -> SharedContext:
    return SharedContext(("call", "1", task_key), (meta,))


def rebound(envelope: Envelope, run_id: str) -> bytes:
    """The body of a call under another run id: signed anew if it is signed."""
    body = envelope.body
    if body[:1] == PLAIN_MSGPACK:
        return body
    return serializers.resealed_call(
        body,
        context=lambda: call_context(envelope.task, envelope.run_id, envelope.meta),
        new_context=lambda: call_context(envelope.task, run_id, envelope.meta),
    )
