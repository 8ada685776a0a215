"""The wire schema: every letter that is written to the store, once.

Names are short because a record that stays below 512 bytes costs Redis a third of a larger one. The scripts
(``redis/scripts/*.lua``) write the same letters; ``tests/house/test_wire_schema.py`` compares them with this module.
A letter never changes its meaning: workers of older versions read the same store. New ones are optional.

Names of keys are in ``redis/keys.py``; what is made of the letters (envelopes, deliveries, acks) in ``messages.py``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .call_meta import NO_META as NO_META
from .call_meta import CallMeta as CallMeta

VERSION: int = 1
"""Version of the envelope, in the meta (absent: 1). What a worker does not know in an envelope it ignores."""

READABLE_BY: int = 1
"""The oldest version that may run our calls, in the meta; raised when ignoring what is new would be wrong."""

OLDEST: int = 1
"""The oldest version whose calls are run here."""


FLOW_CALL: Final = "flow:"
"""How the task's key of a flow begins that was sent to a worker; lists of task runs leave such calls out."""


DEPLOYMENT_CALL: Final = "flow:orchestrator.deployment-run"
"""The task's key of every run of a deployment."""

HOOKS_CALL: Final = "flow:orchestrator.hooks"
"""The task's key of calls of hooks of flow runs that were killed; lists of task runs leave them out as well."""

PAUSE_CALL: Final = "flow:orchestrator.pause"
"""The task's key of calls that stand for pauses of flow runs: nobody runs them, and lists leave them out as well."""

ACTION_CALL: Final = "orchestrator.action"
"""The task's key of what automations and ``notify`` do; taken from the queue ``s-actions`` only."""

_STAYS_IN_STORE: Final = re.compile(r"s-[0-9a-f]{12}|s-actions|p-[0-9a-f]{8}-[0-9]+")


def stays_in_store(queue: str) -> bool:
    """Whether the calls of a queue never travel over another broker: those of served deployments, pools and actions.

    >>> [stays_in_store(queue) for queue in ("s-0123456789ab", "p-0123abcd-1", "s-actions", "s-mail")]
    [True, True, True, False]
    """
    return _STAYS_IN_STORE.fullmatch(queue) is not None


def is_flow_call(task_key: str) -> bool:
    """Whether a call is a flow run.

    >>> is_flow_call("flow:shop.nightly"), is_flow_call("shop.load")
    (True, False)
    """
    return task_key.startswith(FLOW_CALL)


class Status:
    """Where a run stands, one byte each, as kept in its record."""

    PARKED: Final = b"P"  # waits for other runs
    LIMITED: Final = b"W"  # waits for a place under a named limit, or for a worker that knows its task
    DELAYED: Final = b"D"  # waits for a moment: countdown, eta, retry
    QUEUED: Final = b"Q"
    RUNNING: Final = b"R"
    CANCELLING: Final = b"X"  # someone asked the running call to stop
    AWAY: Final = b"A"  # a foreign Celery application has it, and has not begun
    AWAY_RUNNING: Final = b"B"  # it runs there
    COMPLETED: Final = b"C"
    FAILED: Final = b"F"
    CANCELLED: Final = b"K"
    CRASHED: Final = b"Z"
    NOT_READY: Final = b"N"  # an upstream did not complete: will never run
    UNKNOWN: Final = b"?"  # there is no record of such a run (any more)


FINAL_STATUSES: Final = frozenset((Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.CRASHED, Status.NOT_READY))


class AckKind:
    """How a delivery ends (the ``how`` of an ack)."""

    COMPLETED: Final = "C"
    FAILED: Final = "F"
    CANCELLED: Final = "K"
    CRASHED: Final = "Z"
    RETRY: Final = "D"  # again, after a delay
    BEHIND: Final = "P"  # again, when another run has ended; after the delay if the store does not know that run
    HAND_BACK: Final = "H"  # not started: someone else may have it; ``behind`` is ``LOST`` where it never arrived
    LOST: Final = "lost"
    UNKNOWN: Final = "U"  # this worker does not know its task: it waits for one that does
    DEAD: Final = "L"  # Crashed, and kept among the dead letters


class Reason:
    """Why a run ended, or is tried again, that its task did not end itself: a part of a :class:`ScriptedEnd`."""

    TIMED_OUT: Final = "T"  # its process was killed, since the call did not stop in time
    EXPIRED: Final = "E"  # it had not started in time
    CANCELLED: Final = "K"  # somebody asked for it
    KILLED: Final = "X"  # somebody asked for it, and its process was killed, since the call did not stop
    PURGED: Final = "P"  # its queue was emptied
    CRASHED: Final = "C"  # its worker died, more often than it may
    LOST: Final = "L"  # whoever sent it to a foreign Celery application died on the way
    UNDELIVERED: Final = "U"  # its claims never arrived
    LIMIT_REACHED: Final = "R"  # its deployment's limit was, and says that new runs are cancelled then
    UNKNOWN_TASK: Final = "N"  # no worker knows its task
    DAMAGED: Final = "D"  # its record is none
    SUPERSEDED: Final = "S"  # a later run of its schedule took its place


class ScriptedEnd(NamedTuple):
    """The outcome of a run that was not ended by its task: a zero byte, a sentence for people, and the reason.

    The sentence may change; what depends on the end depends on the reason. Of a run that is not ready the sentence is
    the id of the upstream.

    >>> ScriptedEnd.unpack(ScriptedEnd("expired before it started", Reason.EXPIRED).pack())
    ScriptedEnd(text='expired before it started', reason='E', stack='')
    """

    text: str
    reason: str = ""  # empty: written by 0.1, which had none
    stack: str = ""  # of a call whose process was killed: where it was

    def pack(self) -> bytes:
        """The bytes: ``\\0 text \\x1f reason \\0 stack``, without what is empty."""
        packed = f"\0{self.text}"
        if self.reason:
            packed += f"{_BEFORE_REASON}{self.reason}"
        if self.stack:
            packed += f"\0{self.stack}"
        return packed.encode("utf-8", "backslashreplace")

    @classmethod
    def unpack(cls, outcome: bytes | None) -> ScriptedEnd | None:
        """Read an outcome; ``None`` for one that the task's end has written. Never raises."""
        if not outcome or outcome[:1] != b"\0":
            return None
        sentence, _, stack = outcome[1:].decode("utf-8", "replace").partition("\0")
        text, mark, reason = sentence.rpartition(_BEFORE_REASON)
        return cls(text, reason, stack) if mark and len(reason) == 1 else cls(sentence, "", stack)


_BEFORE_REASON: Final = "\x1f"


class RecordField:
    """Fields of a run's record, a hash. Moments are milliseconds by the server's clock."""

    STATUS: Final = "s"
    TASK: Final = "t"
    ROUTE: Final = "q"  # its home: queue, priority, lane
    BODY: Final = "b"
    TICKET: Final = "e"  # route and stream entry of the delivery that counts
    RETRIES: Final = "a"
    CRASHES: Final = "c"
    TAKE_OVERS: Final = "v"
    OPEN_UPSTREAMS: Final = "n"
    INBOXES: Final = "w"  # that wait for its end, with spaces between
    HAS_DEPENDANTS: Final = "d"
    OUTCOME: Final = "o"
    FLOW_RUN: Final = "f"
    META: Final = "m"
    EXPIRES_AT: Final = "x"
    LIMIT: Final = "l"  # "name|size", one a line; the size counts only where the limit has not been declared
    ADMISSION: Final = (
        "C"  # "name|size|C" of the limit under which it may be cancelled once due ("C": where undeclared)
    )
    WAITING_SINCE: Final = "A"  # number of its arrival in the line for a place
    HAS_LEASES: Final = "H"  # its code has taken places under limits: ``leases:<run>``
    RATE: Final = "g"  # "name|ms between calls|burst ms"
    KEEPER: Final = "p"  # the process that keeps the call to itself
    MAX_DELIVERIES: Final = "y"
    STARTED_AT: Final = "z"
    DUE_AT: Final = "j"  # not to be queued before
    NAME: Final = "r"  # that the run was given
    UPSTREAMS: Final = "u"  # packed list of the runs whose results the body refers to
    MANY_UPSTREAMS: Final = "V"  # the same as blocks and places, where they are many; for scripts
    IDEMPOTENCY_KEY: Final = "i"
    KEPT_FOR_OTHERS: Final = "k"  # others need its result: its time to live (ms) once they have ended
    RATE_PAID: Final = "G"  # its next attempt has booked its moment under the rate limit
    LOST_CLAIMS: Final = "L"  # claims lost on the way
    UNKNOWN_SINCE: Final = "U"  # since when it meets workers that do not know its task
    SCHEDULE: Final = "S"  # that made the call
    PROGRESS: Final = "h"  # ticket, a zero byte, the value; counts only while that ticket is the record's


class Extra:
    """Keys of an envelope's extras: what few calls have."""

    DELAY: Final = "d"  # ms from now
    UPSTREAMS: Final = "r"  # [[run id, whether it goes on after a failure], ...] that it waits for
    BODY_UPSTREAMS: Final = "u"  # packed list of the runs whose results the body refers to
    MANY_UPSTREAMS: Final = "V"  # packed list of the same, with [block, first place, last place] for many
    IDEMPOTENCY: Final = "i"  # [key, time to live in ms for workers of 0.1]
    EXPIRES: Final = "x"  # ms from now
    LIMIT: Final = "l"
    ADMISSION: Final = "C"
    RATE: Final = "g"
    KEEPER: Final = "p"
    MAX_DELIVERIES: Final = "y"
    TTL: Final = "k"  # ms that the record is kept if an upstream has failed already
    FLOW_RECORD: Final = "F"  # [field, value, ...] of the flow run's record: written with the call or not at all
    FLOW_RECORD_TTL: Final = "T"  # ms that this record is kept once the run has ended; absent: as long as others
    SCHEDULE: Final = "S"  # that makes the call


class ScheduleField:
    """Fields of a schedule, a hash. Moments are milliseconds by the server's clock."""

    OWNER: Final = "o"  # d:<deployment> or t:<name>
    SPEC: Final = "s"  # packed: when it is due, and its policies
    ACTIVE: Final = "a"  # 1 or 0
    GENERATION: Final = "g"
    TEMPLATE: Final = "b"  # of the call that it makes, or its parameters
    ROUTE: Final = "q"  # of its runs
    LAST_TICK: Final = "l"  # that had a run
    OPEN_RUN: Final = "u"  # the last run, which may be over
    BEHIND: Final = "w"  # the run that it waits for, or waited for
    MISSED: Final = "m"  # how many ticks had no run because nobody was there
    FIRED: Final = "n"  # how many runs it has made
    OVERLAPPED: Final = "k"  # how many ticks had no run because another was not over
    FAILURES: Final = "z"  # how many runs in a row have failed
    PAUSES_AFTER: Final = "y"  # so many of them; absent: it does not
    REASON: Final = "why"  # why it is paused
    SKIPPED: Final = "x"  # packed list of ticks that people took out
    HELD_SINCE: Final = "h"  # its first tick at which nobody served its deployment
    TOKEN: Final = "t"  # of the last write


class QueueEntryField:
    """Fields of an entry in a queue's stream, and in the outbox."""

    RUN: Final = "i"  # the only one, except of a plain call (``send.lua``)
    TASK: Final = "t"
    BODY: Final = "b"
    FLOW_RUN: Final = "f"
    META: Final = "m"
    TICKET: Final = "e"  # in the outbox
    FIRST: Final = "F"  # in that of ranges: the place of the first call in its block
    COUNT: Final = "n"  # there too: how many calls


class BlockField:
    """Fields of a block of calls, a hash: what is the same for all has the letters of a record."""

    COUNT: Final = "n"
    TASK: Final = "t"
    ROUTE: Final = "q"
    FLOW_RUN: Final = "f"
    INBOXES: Final = "w"
    META: Final = "m"
    MAX_DELIVERIES: Final = "y"
    BODIES: Final = "b"
    ENDS: Final = "l"  # where each body ends in them, 4 bytes
    LETTERS: Final = "L"  # of each call: Q open, an end, or ``-`` for one that was moved out
    RANGES: Final = "g"  # of each call, a byte: the number of the range that holds it
    SPLIT: Final = "G"  # the last number that a range was given
    PIECES: Final = (
        "p"  # of each call, a byte: the piece with its outcome; ``o<piece>``, ``i<piece>``: outcomes, places
    )
    WRITTEN: Final = "c"  # how many pieces there are
    TTL: Final = "k"  # ms after the end of its last call
    AWAITED: Final = "d"  # others wait for calls of it
    KEPT: Final = "K"  # others need results of it
    CAME: Final = "a"  # server ms
    SOURCES: Final = "u"  # packed: the calls of other blocks, or runs, that its calls wait for
    WAITING: Final = "W"  # of each call, a byte: 1 while it waits for them


class RangeField:
    """Fields of a range of a block, beside those that an older worker reads in a record."""

    TICKET: Final = "e"
    FIRST: Final = "F"
    LAST: Final = "T"
    CONSUMER: Final = "h"  # that got it
    MOVED: Final = "k"  # how many calls were moved out while it had them; ``m<place>`` each of them


class InboxField:
    """The first field of an entry in a process's inbox says what its packed list holds."""

    ENDS: Final = "o"  # run, status, outcome, ...
    PIECES: Final = "p"  # [block, places, letters, packed outcomes], ...
    ORDERS: Final = "c"  # what, run, ...
    OPENED: Final = "h"  # nothing: it has been made


class InputField:
    """An entry in the stream of a flow run's inputs."""

    KEY: Final = "k"
    VALUE: Final = "v"  # packed


class JournalField:
    """The first field of an entry in the journal says what its packed list holds; ``NAMES`` follows ``FLOW_RUNS``."""

    SUBMITTED: Final = "s"  # run, ...
    BLOCKS: Final = "S"  # block, how many calls, ...
    PIECES: Final = "E"  # block, [places, letters], ...
    CHANGED: Final = "e"  # run, status it has now, ...
    FLOW_RUNS: Final = "f"  # flow run, type of its state, ...
    NAMES: Final = "n"  # of each of these states the name, empty where it is the type's own


class EventField:
    """The only field of an entry in the stream of events."""

    EVENTS: Final = "e"  # packed list of events, see ``redis/events.py``
