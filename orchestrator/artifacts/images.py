"""Pictures: what people hand in, and which kind it is by its own bytes, whatever its name says."""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
_TOO_LARGE: Final = "an artifact holds pictures of at most 5 MB. Put it somewhere else and leave its URL"
_DATA: Final = re.compile(r"data:[\w.+/-]*(;[\w=.-]+)*,", re.ASCII)


class Picture(NamedTuple):
    """A picture that is kept by us, or the address of one that is elsewhere."""

    url: str = ""
    content: bytes = b""
    content_type: str = ""


def content_type_of(content: bytes) -> str | None:
    """PNG, JPEG, GIF or WebP by the first bytes; ``None``: none of these.

    >>> content_type_of(b"GIF89a..."), content_type_of(b"<svg>")
    ('image/gif', None)
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None


def picture_of(image: Any) -> Picture:
    """The picture that somebody hands in: an http(s) or data URL, bytes, or the path of a file.

    Raises:
        TypeError, ValueError: it is none, is too large, or is an SVG, which can hold scripts.
        OSError: the file cannot be read.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return _kept(bytes(image))
    if isinstance(image, os.PathLike):
        return _kept(_read(Path(image)))
    if not isinstance(image, str):
        raise TypeError(f"an image is a URL, bytes or a path, not {type(image).__name__}")
    if _is_address(image):
        return picture_at(image)
    path = Path(image)
    if "\0" in image or not path.is_file():
        raise ValueError(f"{image[:200]!r} is neither an http or https URL nor a file that is here")
    return _kept(_read(path))


def picture_at(url: str) -> Picture:
    """The picture of an http, https or data URL. Raises ValueError."""
    if (found := _DATA.match(url)) is None:
        if urlsplit(url).scheme.lower() not in ("http", "https") or not urlsplit(url).netloc:
            raise ValueError(f"{url[:200]!r} is no http or https URL")
        return Picture(url=url)
    if len(url) > 2 * MAX_IMAGE_BYTES:
        raise ValueError(f"the picture in the data URL is too large: {_TOO_LARGE}")
    data = unquote_to_bytes(url[found.end() :])
    if found[0].endswith(";base64,"):
        try:
            data = base64.b64decode(data, validate=True)
        except binascii.Error:
            raise ValueError("what the data URL holds is no base64") from None
    return _kept(data)


def _is_address(text: str) -> bool:
    return "://" in text or _DATA.match(text) is not None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_IMAGE_BYTES + 1)


def _kept(content: bytes) -> Picture:
    if len(content) > MAX_IMAGE_BYTES:
        raise ValueError(f"the picture has more than {MAX_IMAGE_BYTES:,} bytes: {_TOO_LARGE}")
    kind = content_type_of(content)
    if kind is None:
        start = content[:1000].lstrip().lower()
        if start.startswith((b"<svg", b"<?xml")) or b"<svg" in start:
            raise ValueError("this is an SVG, which can hold scripts: make a PNG of it, or leave its URL")
        raise ValueError("this is no PNG, JPEG, GIF or WebP: its first bytes say so, whatever it is called")
    return Picture(content=content, content_type=kind)
