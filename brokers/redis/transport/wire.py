"""One connection, driven directly.

redis-py's ``execute_command`` costs about 50 microseconds a call on top of the round trip and repeats commands behind
the caller's back; a wire packs, writes and reads by itself, over redis-py's connection objects (which know TLS, unix
sockets, passwords), and repeats only where a verb is safe to repeat. Errors leave as ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import redis.exceptions as server_says

from brokers.errors import BrokerError, BrokerUnavailable, OrchestratorError
from brokers.redis.scripts import Script

from .protocol import Connection, Dialogue
from .translation import translate

ScriptCall: TypeAlias = tuple[Script, *tuple[bytes | str, ...]]
"""A script and its arguments; most take one."""
NOT_YET: Final = object()
"""Instead of a reply that has not come in time, and may still come."""


class Wire:
    """A connection for one thread at a time.

    Args:
        connection: to the server, not open yet.
        where: the server in messages.
        timeout_seconds: how long a reply may take.
        note: sees the errors with which the server replies, before they are translated.
    """

    def __init__(
        self, connection: Connection, where: str, timeout_seconds: float, note: Callable[[Exception], None]
    ) -> None:
        self._connection = connection
        self._where = where
        self.timeout_seconds = timeout_seconds
        self._note = note
        self._closed = False
        self._dialogue: Dialogue | None = None
        self.used = False  # it has answered, and can be used again
        self.until: float | None = None  # what is done on it now must be over then

    def command(self, *arguments: Any, block_seconds: float = 0.0) -> Any:
        """Send one command and return its reply (bytes are not decoded); it may block so long in the server."""
        return self.commands([arguments], block_seconds)[0]

    def commands(self, batch: Sequence[Sequence[Any]], block_seconds: float = 0.0) -> list[Any]:
        """Send commands in one write and return their replies; the first error reply is raised after all were read."""
        return self._checked(self._exchange(batch, block_seconds))

    def _checked(self, replies: list[Any]) -> list[Any]:
        for reply in replies:
            if isinstance(reply, Exception):
                raise self._translated(reply) from reply
        return replies

    def _translated(self, reply: Exception) -> BrokerError:
        self._note(reply)
        return translate(reply, self._where)

    def begin(self, batch: Sequence[Sequence[Any]], until: float) -> None:
        """Send commands in one write, before that moment (``time.monotonic()``): see :meth:`answer_by`."""
        self._exchange(batch, awaited=0, until=until)

    def answer_by(self, moment: float) -> Any:
        """The next reply to a command of :meth:`begin`; :data:`NOT_YET`, and to be asked for again, if it is late."""
        try:
            replies = self._exchange((), until=moment, may_be_late=True)
        except server_says.TimeoutError:
            return NOT_YET
        return self._checked(replies)[0]

    def _exchange(
        self,
        batch: Sequence[Sequence[Any]],
        block_seconds: float = 0.0,
        awaited: int | None = None,
        until: float | None = None,
        may_be_late: bool = False,
    ) -> list[Any]:
        connection, dialogue = self._connection, self._dialogue
        if until is None:
            until = time.monotonic() + self.timeout_seconds + block_seconds
        if self.until is not None and self.until < until:
            until = self.until
        if self._closed:  # redis-py would open it again, behind the back of whoever closed it
            raise BrokerUnavailable(f"this connection to {self._where} is closed")
        try:
            if dialogue is None:
                connection.connect()  # nothing, when it is open
                dialogue = self._dialogue = Dialogue(connection)
            replies = dialogue.exchange(batch, until, awaited) if batch else dialogue.read(1, until)
        except OrchestratorError:  # the time of the task that sends is over (raised in its thread by another)
            self.close()
            raise
        except Exception as error:
            if may_be_late and isinstance(error, server_says.TimeoutError):  # what came of it is kept
                raise
            self.close()
            sent = dialogue is not None and dialogue.sent and not isinstance(error, server_says.BusyLoadingError)
            raise translate(error, self._where, sent) from error
        except BaseException:  # cancelled, or Ctrl-C: the next user would take the rest of these replies for its own
            self.close()
            raise
        self.used = True
        return replies

    def ask(self, call: ScriptCall, *command: Any, prefix: str) -> Any:
        """Run a script and send a command that may block, in one write; :meth:`answer` has the reply to the latter.

        Returns:
            The reply to the script, or the error with which it was refused: nothing is raised for that.
        """
        script, *arguments = call
        return self._exchange([("EVALSHA", script.sha, 1, prefix, *arguments), command], awaited=1)[0]

    @property
    def has_answer(self) -> bool:
        """Whether the command of :meth:`ask` did not block: its reply came along with that to the script."""
        return self._dialogue is not None and self._dialogue.has_more

    def answer(self, block_seconds: float) -> Any:
        """The reply to the command of :meth:`ask`, which may block so long in the server."""
        (reply,) = self._exchange((), block_seconds)
        if isinstance(reply, Exception):
            raise self._translated(reply) from reply
        return reply

    def run(self, *calls: ScriptCall, prefix: str) -> list[Any]:
        """Run scripts in one round trip; a server that does not know them (restart, failover, flush) is taught."""
        replies = self._exchange([("EVALSHA", call[0].sha, 1, prefix, *call[1:]) for call in calls])
        for at, reply in enumerate(replies):
            if isinstance(reply, Exception):
                replies[at] = self._taught(calls[at], reply, prefix)
        return replies

    def run_beside(self, aside: ScriptCall, call: ScriptCall, *, prefix: str) -> list[Any]:
        """Run two scripts in one round trip. Should only the first one fail, its reply is the error: none is raised."""
        calls = (aside, call)
        replies = self._exchange([("EVALSHA", script.sha, 1, prefix, *arguments) for script, *arguments in calls])
        if isinstance(replies[1], Exception):
            replies[1] = self._taught(call, replies[1], prefix)
        try:
            if isinstance(replies[0], Exception):
                replies[0] = self._taught(aside, replies[0], prefix)
        except BrokerError as error:
            replies[0] = error
        return replies

    def _taught(self, call: ScriptCall, refusal: Exception, prefix: str) -> Any:
        """The reply to a script that the server did not know. Raises BrokerError: it refused for another reason."""
        if not isinstance(refusal, server_says.NoScriptError):
            raise self._translated(refusal) from refusal
        script, *arguments = call
        return self.command("EVAL", script.text, 1, prefix, *arguments)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, by whoever has it or after an error: it does not open again."""
        return self._closed

    def close(self) -> None:
        """Close; a thread that is blocked in a read on this wire wakes with an error."""
        self._closed, self.used = True, False
        self._connection.disconnect()
