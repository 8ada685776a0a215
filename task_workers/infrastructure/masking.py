"""Secrets of the worker stay out of what it copies from containers: what runs there has them in its environment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote, unquote

from orchestrator.configuration.names import variable_of
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings, shown
from task_workers.infrastructure.base import (
    Condition,
    Found,
    Handle,
    Infrastructure,
    InfrastructureError,
    Output,
    Wanted,
)

MASK: Final = "***"
FEWEST_CHARACTERS: Final = 4  # a shorter one would hide half of every line, and nothing


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """What is secret in the settings of a process: keys, tokens, passwords, and URLs that have one.

    Args:
        environ: of the process.

    >>> secrets_of({"ORCHESTRATOR_REDIS_URL": "redis://:s%20cret@db/0", "ORCHESTRATOR_SECRET_KEY": "newer, older"})
    ['redis://:s%20cret@db/0', 's%20cret', 's cret', 'newer, older', 'newer', 'older']
    >>> secrets_of({"ORCHESTRATOR_REDIS_URL": "redis://db/0", "ORCHESTRATOR_NAMESPACE": "shop"})
    []
    """
    found: list[str] = []
    for name in Settings.model_fields:
        value = environ.get(variable_of(name), "")
        visible = shown(name, value)
        if value and visible == MASK:  # of a ring each key counts
            found += [value, *(key.strip() for key in value.split(",") if key.strip() != value)]
        elif visible != value and (parts := _hidden_parts(value, visible)):
            found += [value, *(form for part in parts for form in dict.fromkeys((part, unquote(part))))]
    return found


def _hidden_parts(value: str, visible: str) -> tuple[str, ...]:
    """What stands in a value where there are stars in what may be seen of it."""
    match = re.fullmatch("(.+)".join(map(re.escape, visible.split(MASK))), value, re.DOTALL)
    return match.groups() if match else ()


class Mask:
    """Puts stars in the place of secrets.

    Args:
        secrets: each as it is; it is found as well inside of JSON, a URL, or, if it has several lines, on each of them.

    >>> Mask(["s3cret"])("the key is s3cret")
    'the key is ***'
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        whole = [part for secret in secrets for part in (secret, *secret.splitlines())]
        forms = {form for one in whole for form in (one, json.dumps(one)[1:-1], repr(one)[1:-1], quote(one, safe=""))}
        wanted = sorted((form for form in forms if len(form) >= FEWEST_CHARACTERS), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, wanted))) if wanted else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern is not None else text


class MaskedInfrastructure:
    """See :class:`task_workers.infrastructure.base.Infrastructure`: another one, whose words have no secrets.

    Args:
        infrastructure: that other one.
        mask: takes them out of output, reasons and errors.
    """

    def __init__(self, infrastructure: Infrastructure, mask: Mask) -> None:
        self._infrastructure, self._mask, self.noun = infrastructure, mask, infrastructure.noun

    def check(self) -> None:
        with self._masked():
            self._infrastructure.check()

    def start(self, wanted: Wanted) -> Handle:
        with self._masked():
            return self._infrastructure.start(wanted)

    def look(self, handle: Handle) -> Condition:
        with self._masked():
            found = self._infrastructure.look(handle)
        return found._replace(reason=self._mask(found.reason))

    def follow(self, handle: Handle, *, from_now: bool = False) -> Output:
        with self._masked():
            return _MaskedOutput(self._infrastructure.follow(handle, from_now=from_now), self._mask)

    def end(self, handle: Handle, grace_seconds: float) -> None:
        with self._masked():
            self._infrastructure.end(handle, grace_seconds)

    def remove(self, handle: Handle) -> None:
        with self._masked():
            self._infrastructure.remove(handle)

    def find(self, labels: Mapping[str, str], namespaces: Sequence[str]) -> list[Found]:
        with self._masked():
            return self._infrastructure.find(labels, namespaces)

    @contextmanager
    def _masked(self) -> Iterator[None]:
        try:
            yield
        except (InfrastructureError, ConfigurationError) as error:
            text = self._mask(str(error))
            if text == str(error):
                raise
            kind = InfrastructureError if isinstance(error, InfrastructureError) else ConfigurationError
            raise kind(text) from None


class _MaskedOutput:
    def __init__(self, output: Output, mask: Mask) -> None:
        self._output, self._mask = output, mask

    def __iter__(self) -> Iterator[str]:
        return map(self._mask, self._output)

    def close(self) -> None:
        self._output.close()
