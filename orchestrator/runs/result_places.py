"""Storages of results by name: what a text may be that says where results go, and the place that it means."""

from __future__ import annotations

import os
import re
from typing import Final

from orchestrator.errors import ResultStorageError

_BLOCK: Final = re.compile(r"[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*")
_PLACE: Final = re.compile(r"(local:/|remote:[a-z0-9+.-]+://|block:[a-z0-9])", re.IGNORECASE)


def place_of_text(text: str) -> str:
    """The place that a text means: a folder, the address of one, or the name of a file system that was saved.

    Raises:
        ResultStorageError: it is none of them, or an address that holds credentials.

    >>> place_of_text("/data/results"), place_of_text("s3-bucket/results")
    ('local:/data/results', 'block:s3-bucket/results')
    """
    text = text.strip()
    if _PLACE.match(text):
        return text
    if text.startswith(("file://", "local://")):
        return place_of_folder(text.partition("://")[2])
    if "://" in text:
        return place_of_address(text)
    if text.startswith((".", "~", "/")) or os.path.isabs(text):
        return place_of_folder(text)
    if _BLOCK.fullmatch(text):
        return f"block:{text}"
    seen = "***" if "@" in text else text  # an address with credentials and a slip of the pen
    raise ResultStorageError(
        f"result_storage={seen!r} is neither the name of a saved file system (slug/name, as in "
        f"'local-file-system/results') nor a folder: a folder begins with / or ./, so write './{seen}'"
    )


def place_of_folder(folder: str) -> str:
    """The place of a folder on this machine."""
    return f"local:{os.path.realpath(os.path.expanduser(folder))}"


def place_of_address(url: str) -> str:
    """The place of what fsspec reaches. Raises ResultStorageError: the address holds credentials."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ResultStorageError(
            "the address of the result_storage holds credentials, which every record would show: save a "
            "RemoteFileSystem with them as its settings, and give its name, 'remote-file-system/name'"
        )
    return f"remote:{url.rstrip('/')}"
