"""Kinds of settings: what a value may be, checked where settings are made."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr

from brokers.spans import LARGEST_COUNT, LONGEST_SECONDS
from brokers.urls import engine_of, parse_url

FEWEST_KEY_CHARACTERS: Final = 32

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_PROJECT: Final = re.compile(r"[A-Za-z0-9_.-]{1,24}")


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("1 to 40 of the characters A-Z a-z 0-9 _ . -")
    return value


def _checked_project(value: str | None) -> str | None:
    if value is not None and os.sep not in value and not _PROJECT.fullmatch(value):
        raise ValueError("the path of a folder, or 1 to 24 of the characters A-Z a-z 0-9 _ . -")
    return value


def _checked_server(url: str | None) -> str | None:
    if url is not None:
        parse_url(url)
    return url


def _checked_broker(url: str | None) -> str | None:
    if url is not None and engine_of(url) == "redis":
        parse_url(url)
    return url


def _checked_ring(ring: SecretStr | None) -> SecretStr | None:
    if ring is not None and ring.get_secret_value() and not keys_of(ring):
        raise ValueError("there is no key in it, only spaces and commas; unset it to do without")
    return ring


def _checked_encryption(ring: SecretStr | None) -> SecretStr | None:
    if any(len(key) < FEWEST_KEY_CHARACTERS for key in keys_of(_checked_ring(ring))):
        raise ValueError(
            f"each key needs {FEWEST_KEY_CHARACTERS} characters or more; one is made by "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return ring


def keys_of(ring: SecretStr | None) -> tuple[bytes, ...]:
    """The keys of a ring, the first one in use."""
    text = ring.get_secret_value() if ring else ""
    return tuple(key.strip().encode() for key in text.split(",") if key.strip())


def _checked_storage(text: str | None) -> str | None:
    from orchestrator.errors import ResultStorageError
    from orchestrator.runs.result_places import place_of_text

    if text is not None:
        try:
            place_of_text(text)
        except ResultStorageError as error:
            raise ValueError(str(error)) from None
    return text


def _checked_format(name: str | None) -> str | None:
    if name is not None:
        from orchestrator.serializers import serializer_names  # only where one is set: this is early

        if name.removeprefix("compressed/") not in serializer_names():
            raise ValueError(f"one of {', '.join(serializer_names())}, each also with compressed/ in front")
    return name


def _lowered(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _checked_delays(value: Any) -> float | tuple[float, ...]:
    parts = value.strip("[] ").split(",") if isinstance(value, str) else value
    try:
        found = tuple(float(part) for part in (parts if isinstance(parts, list | tuple) else [parts]))
    except (TypeError, ValueError):
        found = ()
    if not found or not all(0 <= part <= LONGEST_SECONDS for part in found) or isinstance(value, bool):
        raise ValueError("seconds, 0 or more, or several of them: 1,10,100")
    return found if len(found) > 1 else found[0]


Name = Annotated[str, AfterValidator(_checked_name)]
Word = BeforeValidator(_lowered)
Positive = Annotated[float, Field(gt=0, le=LONGEST_SECONDS, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)]
Delays = Annotated[float | tuple[float, ...], PlainValidator(_checked_delays)]
Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
CountOrNone = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]  # 0: none, or no limit
Project = Annotated[str | None, AfterValidator(_checked_project)]
Server = Annotated[str | None, AfterValidator(_checked_server)]
Carrier = Annotated[str | None, AfterValidator(_checked_broker)]
KeyRing = Annotated[SecretStr | None, AfterValidator(_checked_ring)]
ResultPlace = Annotated[str | None, AfterValidator(_checked_storage)]
ResultFormat = Annotated[str | None, AfterValidator(_checked_format)]
EncryptionRing = Annotated[SecretStr | None, AfterValidator(_checked_encryption)]
