"""Arguments and results as text, without unpickling, importing or constructing anything of the user's.

What would need that (a pickle, a model) stands there as a note of what it is. Values whose name sounds like a secret
are not shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from orchestrator import serializers
from orchestrator.errors import OrchestratorError
from orchestrator.serializers.extensions import readers
from orchestrator.serializers.framing import DEFAULT_LIMITS, MSGPACK, open_body
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.values import serializer_name
from orchestrator.serializers.wire import PICKLE, SECRET, UPSTREAM

REDACTED: Final = "••••••"
SECRET_NAMES: Final = (
    "password",
    "passwd",
    "passphrase",
    "token",
    "secret",
    "api_key",
    "apikey",
    "authorization",
    "cookie",
)
LONGEST_TEXT: Final = 2000  # characters of one value


class Note:
    """Stands for a value that is not restored here; its ``repr`` says what it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<{self.text}>"


class Redaction:
    """Which names are secret.

    Args:
        names: parts of names, any case; a value under a name that contains one of them is not shown.

    >>> Redaction(["token"]).of({"user": "ann", "api_token": "abc", "more": [{"Token": 1}]})
    {'user': 'ann', 'api_token': '••••••', 'more': [{'Token': '••••••'}]}
    """

    def __init__(self, names: Iterable[str] = SECRET_NAMES) -> None:
        parts = [re.escape(name.strip().lower()) for name in names if name.strip()]
        self._pattern = re.compile("|".join(parts)) if parts else None

    def hides(self, name: object) -> bool:
        """Whether a value under this name is not shown."""
        return self._pattern is not None and isinstance(name, str) and bool(self._pattern.search(name.lower()))

    def of(self, value: Any) -> Any:
        """The value without what is secret in it."""
        if isinstance(value, Mapping):
            return {name: REDACTED if self.hides(name) else self.of(part) for name, part in value.items()}
        if type(value) in (list, tuple, set):
            return type(value)(self.of(part) for part in value)
        return value


class Showing(Reading):
    """A reading that restores plain values only."""

    __slots__ = ()

    def extension(self, code: int, data: bytes) -> Any:
        if code == PICKLE:
            return Note(f"pickled object, {len(data):,} bytes")
        if code == SECRET:
            return REDACTED
        if code == UPSTREAM:
            return Note(f"result of run {data.decode('ascii', 'replace')}")
        if code not in readers:
            return Note(f"value of extension {code}, {len(data):,} bytes")
        try:
            return super().extension(code, data)
        except OrchestratorError as error:
            return Note(f"not shown: {error}")


def shown_call(
    body: bytes, context: Sequence[str | bytes], redaction: Redaction, names: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """The arguments of a call as pairs of name and text.

    Args:
        body: the packed call.
        context: what it was signed or encrypted for, see ``orchestrator.envelopes.call_context``.
        redaction: what is not shown.
        names: the names of the task's parameters, where they are known; others are ``args[0]`` and so on.

    Raises:
        SerializationError: it cannot be read here, for example for want of a key.
    """
    opened = serializers.open_call(body, context=lambda: tuple(context))
    args, kwargs = Showing().unpack(opened.data)[:2]
    named = [(names[at] if at < len(names) else f"args[{at}]", value) for at, value in enumerate(args)]
    return [
        (name, REDACTED if redaction.hides(name) else shown(value, redaction))
        for name, value in [*named, *kwargs.items()]
    ]


def shown_result(run_id: str, body: bytes, redaction: Redaction) -> str:
    """The packed result of a run (already disclosed, see ``orchestrator.outcomes``) as text; never raises."""
    try:
        return shown(_restored(run_id, body), redaction)
    except Exception as error:
        return repr(Note(f"cannot be shown: {error}"))


def _restored(run_id: str, body: bytes) -> Any:
    form, data, _ = open_body(body, lambda: ("result", run_id), DEFAULT_LIMITS, protected=False)
    if form == MSGPACK:
        return Showing().unpack(data)
    name = serializer_name(form)
    return json.loads(data) if name == "json" else Note(f"result in the format {name}, {len(data):,} bytes")


def shown(value: Any, redaction: Redaction, longest: int = LONGEST_TEXT) -> str:
    """A value as text of at most so many characters; never raises."""
    try:
        text = repr(redaction.of(value))
    except Exception as error:  # the repr is the user's code
        text = f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
