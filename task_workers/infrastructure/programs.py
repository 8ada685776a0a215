"""Programs like ``docker`` and ``kubectl``, run to their end or followed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from task_workers.infrastructure.base import InfrastructureError

LAST_LINES: Final = 5
MOST_CHARACTERS: Final = 2000


class Program:
    """A program on PATH.

    Args:
        name: of the program.
        advice: what to do where it is not there.
    """

    def __init__(self, name: str, advice: str) -> None:
        self._name, self._advice = name, advice

    def path(self) -> str:
        """Where it is. Raises InfrastructureError: nowhere."""
        found = shutil.which(self._name)
        if found is None:
            raise InfrastructureError(f"there is no {self._name} on PATH: {self._advice}")
        return found

    def run(
        self,
        *words: str,
        text: str | None = None,
        env: Mapping[str, str] | None = None,
        seconds: float = 60.0,
    ) -> str:
        """Its standard output.

        Args:
            words: its arguments.
            text: for its standard input.
            env: variables beside this process's.
            seconds: it is killed after so many.

        Raises:
            InfrastructureError: it is not there, does not end, or ends with another code than 0: its own last words.
        """
        process = self._started(words, env, subprocess.PIPE, text is not None)
        try:
            out, err = process.communicate(text.encode() if text is not None else None, seconds)
        except BaseException as error:  # Ctrl-C among them
            _end(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise InfrastructureError(f"{self._name} {words[0]} did not end within {seconds:g} s") from None
        if process.returncode:
            written = (err.decode("utf-8", "replace").strip() or out.decode("utf-8", "replace").strip()).splitlines()
            last = _end_of(" / ".join(written[-LAST_LINES:])) or f"exit code {process.returncode}"
            raise InfrastructureError(f"{self._name} {words[0]}: {last}")
        return out.decode("utf-8", "replace")

    def follow(self, *words: str) -> ProgramOutput:
        """Its output, both kinds of it, line by line."""
        return ProgramOutput(self._started(words, None, subprocess.STDOUT, False))

    def _started(
        self, words: Sequence[str], env: Mapping[str, str] | None, stderr: int, has_input: bool
    ) -> subprocess.Popen[bytes]:
        path = self.path()
        try:
            return subprocess.Popen(
                [path, *words],
                stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **env} if env is not None else None,
                start_new_session=True,  # Ctrl-C is for the worker, which then still needs it
            )
        except OSError as error:
            raise InfrastructureError(f"{self._name} cannot be run: {error}") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it and its helpers. What has left its group may keep its output open, for as long as it likes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _end_of(text: str) -> str:
    """The last part of a long text, from the beginning of a word: half a secret would not be masked."""
    return text if len(text) <= MOST_CHARACTERS else text[-MOST_CHARACTERS:].partition(" ")[2]


class ProgramOutput:
    """See :class:`task_workers.infrastructure.base.Output`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __iter__(self) -> Iterator[str]:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                yield line.decode("utf-8", "replace").rstrip("\r\n")
        self._process.wait()

    def close(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
