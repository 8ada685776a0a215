"""Engine 1: the verbs of the contract over Redis Streams.

Every verb is one script, every script gets one msgpack value and gives one back: a batch of 500 calls costs redis-py
one argument instead of 4,000, and replies look the same under RESP2 and RESP3. The old msgpack spec is used (no bin
type), the only one that the servers' ``cmsgpack`` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgpack

from brokers.contract import Delivery, Envelope, KillVerdict, Record, Settled, Settlement
from brokers.errors import BrokerUnavailable

from .keys import Keys
from .scripts import Script, load
from .wire import Wires

INBOX_TTL_MS: Final = 120_000  # an inbox whose process is gone disappears by itself
SLICE_CALLS: Final = 500  # one script blocks the server for about 3 ms with so many
SLICE_BYTES: Final = 1 << 20


def pack(value: Any) -> bytes:
    """One argument for a script."""
    packed: bytes = msgpack.packb(value, use_bin_type=False)
    return packed


def unpack(blob: bytes) -> Any:
    """One reply of a script; strings come as bytes."""
    return msgpack.unpackb(blob, raw=True, strict_map_key=False)


def _text(value: bytes | None) -> str | None:
    """What a record says, fit to be shown: a record that somebody damaged must not stop whoever reads it."""
    return value.decode("utf-8", "replace") if value else None


def delivery_from(row: Sequence[Any]) -> Delivery:
    """A delivery from a row of ``fetch.lua``."""
    ticket, run_id, task, body, retries, crashes, flow_run_id, meta, deliveries, upstreams = row
    return Delivery(
        ticket.decode(),
        _text(run_id) or "",
        _text(task) or "",
        body,
        retries,
        crashes,
        _text(flow_run_id),
        meta or None,
        deliveries,
        upstreams or None,
    )


def slices(envelopes: Sequence[Envelope]) -> Iterable[Sequence[Envelope]]:
    """Envelopes in portions that one script may take."""
    portion: list[Envelope] = []
    count = size = 0
    for envelope in envelopes:
        bytes_more = len(envelope.body)
        if count and (count >= SLICE_CALLS or size + bytes_more > SLICE_BYTES):
            yield portion
            portion, count, size = [], 0, 0
        portion.append(envelope)
        count += 1
        size += bytes_more
    if portion:
        yield portion


class RedisBroker:
    """The contract over one namespace of a Redis or Valkey server.

    Args:
        wires: connections to the server.
        namespace: keeps several applications on one server apart.
        result_ttl_seconds: how long the store keeps runs that it ends by itself (cancelled, expired, not ready).
        queue_limit: how many calls a queue may hold, those that run included; 0 for no limit.
    """

    carried = False  # whether queued calls travel as messages of another broker

    def __init__(
        self, wires: Wires, namespace: str, *, result_ttl_seconds: float = 86_400, queue_limit: int = 0
    ) -> None:
        self.wires = wires
        self.keys = Keys(namespace)
        self.ttl_ms = int(result_ttl_seconds * 1000)
        self.queue_limit = queue_limit

    def _run(self, verb: str, arguments: Any) -> Any:
        return unpack(self.wires.run((load(verb, self.carried), pack(arguments)), prefix=self.keys.prefix)[0])

    # -- calls ---------------------------------------------------------------------------------------------------

    def submit(self, envelopes: Sequence[Envelope]) -> list[str]:
        """Write records and queue entries; returns the run ids (another one where an idempotency key was known)."""
        if len(envelopes) == 1 and self._send_plain(envelopes[0]):
            return [envelopes[0].run_id]
        run_ids: list[str] = []
        for some in slices(envelopes):
            known = self._submit(some)
            start = len(run_ids)
            run_ids += [envelope.run_id for envelope in some]
            for position, other in known:
                run_ids[start + position - 1] = other.decode()
        return run_ids

    def _send_plain(self, envelope: Envelope) -> bool:
        """Send one call by the short way, if it is one that may: see ``send.lua``."""
        run_id, task, route, body, flow_run_id, reply_to, meta, extras = envelope
        if extras or self.queue_limit or self.carried:
            return False
        self.wires.run(
            (load("send"), run_id, task, route, body, route[:-3], flow_run_id or "", reply_to or "", meta or ""),
            prefix=self.keys.prefix,
        )
        return True

    def _submit(self, envelopes: Sequence[Envelope]) -> list[tuple[int, bytes]]:
        """One slice; returns (position from 1, run id) of those whose idempotency key was known."""
        known: list[tuple[int, bytes]] = self._run("submit", [self.queue_limit, envelopes])[0]
        return known

    def fetch_calls(
        self, settle: Sequence[Settlement], arguments: Sequence[Any]
    ) -> tuple[list[tuple[Script, bytes]], bool]:
        """The scripts of a fetch, for whoever drives a wire of their own."""
        calls = [(load("fetch", self.carried), pack(arguments))]
        if settle:
            calls.insert(0, (load("complete", self.carried), pack(settle)))
        return calls, bool(settle)

    def fetch(
        self,
        consumer: str,
        routes: Sequence[str],
        want: int,
        settle: Sequence[Settlement] = (),
        claimed: Sequence[tuple[str, str, str]] = (),
    ) -> tuple[list[Delivery], list[str]]:
        """Settle what has ended and take up to ``want`` calls in one round trip.

        Returns:
            The deliveries, and the run ids whose settlement was refused because their ticket was stale.
        """
        calls, settled = self.fetch_calls(settle, [consumer, routes, want, claimed, self.ttl_ms])
        replies = self.wires.run(*calls, prefix=self.keys.prefix)
        refused = [run_id.decode() for run_id in unpack(replies[0])] if settled else []
        return [delivery_from(row) for row in unpack(replies[-1])], refused

    def complete(self, consumer: str, settlements: Sequence[Settlement]) -> list[str]:
        """Settle; returns the run ids whose settlement was refused because the ticket was stale."""
        return [run_id.decode() for run_id in self._run("complete", settlements)]

    def started(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """Note (ticket, run id) pairs as running; returns the runs that should stop."""
        return [run_id.decode() for run_id in self._run("started", pairs)]

    # -- runs ----------------------------------------------------------------------------------------------------

    def read(self, run_ids: Sequence[str]) -> list[Record]:
        """What is known of these runs, in order; unknown ones have ``Status.UNKNOWN``."""
        records: list[Record] = []
        while len(records) < len(run_ids):
            for row in self._run("read", run_ids[len(records) : len(records) + SLICE_CALLS]):
                run_id, status, outcome, retries, crashes, task, flow_run_id, started_ms, take_overs = row
                records.append(
                    Record(
                        run_id.decode(),
                        status,
                        outcome or None,
                        retries,
                        crashes,
                        _text(task),
                        _text(flow_run_id),
                        started_ms / 1000 if started_ms else None,
                        take_overs,
                    )
                )
        return records

    def expect(self, run_ids: Sequence[str], inbox: str) -> list[Settled]:
        """Have the ends of these runs sent to an inbox; returns those that have ended already."""
        found: list[Settled] = []
        for first in range(0, max(len(run_ids), 1), SLICE_CALLS):
            row = self._run("expect", [inbox, INBOX_TTL_MS, run_ids[first : first + SLICE_CALLS]])
            found += [(row[i].decode(), row[i + 1], row[i + 2]) for i in range(0, len(row), 3)]
        return found

    def cancel(self, run_ids: Sequence[str], reason: str = "cancelled before it started") -> list[bytes]:
        """Cancel; returns the status each run had before."""
        before: list[bytes] = []
        for first in range(0, len(run_ids), SLICE_CALLS):
            before += self._run("cancel", [run_ids[first : first + SLICE_CALLS], self.ttl_ms, reason])
        return before

    def replay(self, run_ids: Sequence[str]) -> list[str]:
        """Queue ended runs again under their ids; returns those that were queued."""
        return [run_id.decode() for run_id in self._run("replay", list(run_ids))]

    def delete(self, run_ids: Sequence[str]) -> list[str]:
        """Forget ended runs with their logs; returns those that were deleted."""
        return [run_id.decode() for run_id in self._run("delete", list(run_ids))]

    def dead_letters(self, count: int = 100) -> list[str]:
        """Run ids of the dead letters, newest first."""
        (ids,) = self.wires.commands([("ZREVRANGE", self.keys.dead, 0, count - 1)])
        return [run_id.decode() for run_id in ids]

    # -- consumers -----------------------------------------------------------------------------------------------

    def beat(self, consumers: Sequence[str], lease_seconds: float) -> list[str]:
        """Say that these consumers live; returns consumers (any) whose lease has run out."""
        return [name.decode() for name in self._run("beat", [consumers, int(lease_seconds * 1000)])]

    def take_over(
        self,
        consumer: str,
        *,
        running: Mapping[str, str] | None = None,
        verdicts: Mapping[str, KillVerdict] | None = None,
        charge_noted: bool = True,
        max_deliveries: int = 3,
        dead_letter_ttl_seconds: float = 30 * 86_400,
    ) -> int:
        """Give the calls of a consumer that is gone to the others.

        Args:
            consumer: whose calls.
            running: run id -> reason, of calls known to have died with it; they are charged with a crash.
            verdicts: run id -> what becomes of a call for which the consumer was killed (hard timeout, cancelled).
            charge_noted: whether calls noted as running are charged as well (not when a consumer leaves in peace).
            max_deliveries: crashes that make a call a dead letter.
            dead_letter_ttl_seconds: how long a dead letter is kept.

        Returns:
            How many calls were moved.
        """
        moved_in_all = 0
        while True:
            moved: int
            moved, left = self._run(
                "take_over",
                [
                    consumer,
                    dict(running or {}),
                    max_deliveries,
                    int(dead_letter_ttl_seconds * 1000),
                    self.ttl_ms,
                    200,
                    charge_noted,
                    dict(verdicts or {}),
                ],
            )
            moved_in_all += moved
            if not left:
                return moved_in_all

    def pending(self, consumer: str, routes: Sequence[str]) -> dict[str, str]:
        """What the server holds for a consumer: ticket -> run id."""
        row = self._run("pending", [consumer, routes])
        return {row[i].decode(): row[i + 1].decode() for i in range(0, len(row), 2)}

    def move(self, limit: int = 200) -> float | None:
        """Queue what is due; returns seconds until the next delayed run is due, ``None`` if there is none."""
        wait_ms: int = self._run("move", [limit, self.ttl_ms])
        return None if wait_ms < 0 else wait_ms / 1000

    def tidy(self, patience_seconds: float, dead_letter_ttl_seconds: float) -> int:
        """Mark consumers as dead that hold calls though nobody beats for them; returns how many."""
        found: int = self._run("tidy", [int(patience_seconds * 1000), int(dead_letter_ttl_seconds * 1000), self.ttl_ms])
        return found

    def describe_worker(self, consumer: str, facts: Mapping[str, str], ttl_seconds: float) -> None:
        """What a consumer says of itself: host, process, queues, tasks."""
        self._describe(self.keys.worker(consumer), facts, ttl_seconds * 1000)

    def _describe(
        self, key: str, fields: Mapping[str, str | bytes], ttl_ms: float, for_journal: Sequence[Any] | None = None
    ) -> None:
        self._run("describe", [key, int(ttl_ms), [part for pair in fields.items() for part in pair], for_journal])

    def workers(self, lease_seconds: float) -> dict[str, dict[str, str]]:
        """The live consumers and what they say of themselves."""
        clock, rows = self.wires.commands([("TIME",), ("ZRANGE", self.keys.workers, 0, -1, "WITHSCORES")])
        oldest = int(clock[0]) * 1000 + int(clock[1]) / 1000 - lease_seconds * 1000
        alive = [rows[i].decode() for i in range(0, len(rows), 2) if float(rows[i + 1]) >= oldest]
        if not alive:
            return {}
        facts = self.wires.commands([("HGETALL", self.keys.worker(name)) for name in alive])
        return {
            name: {fact[i].decode(): fact[i + 1].decode() for i in range(0, len(fact), 2)}
            for name, fact in zip(alive, facts, strict=True)
        }

    # -- beside the runs -----------------------------------------------------------------------------------------

    def cache_get(self, key: str) -> bytes | None:
        """A cached result."""
        (value,) = self.wires.commands([("GET", self.keys.cache(key))])
        found: bytes | None = value
        return found

    def cache_put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keep a result under a cache key."""
        self.wires.commands([("SET", self.keys.cache(key), value, "PX", max(1, int(ttl_seconds * 1000)))])

    def cache_lock(self, key: str, run_id: str, ttl_seconds: float) -> str:
        """Try to be the one run that computes a key; returns the run id of the one that is."""
        lock = self.keys.cache(key) + ":lock"
        taken, holder = self.wires.commands([("SET", lock, run_id, "NX", "PX", int(ttl_seconds * 1000)), ("GET", lock)])
        return run_id if taken else (holder or run_id.encode()).decode()

    def cache_unlock(self, key: str, holder: str) -> None:
        """Let others compute a key, if this is still the one that does."""
        self._run("unlock", [key, holder])

    def is_listening(self, process: str) -> bool:
        """Whether a process reads its inbox (or did so until two minutes ago)."""
        (found,) = self.wires.commands([("EXISTS", self.keys.inbox(process))])
        return bool(found)

    def add_log_lines(self, lines: Mapping[str, Sequence[bytes]], keep: int) -> None:
        """Append log lines to runs; each run keeps its last ``keep``."""
        self._run("log", [[[run_id, some] for run_id, some in lines.items()], keep, self.ttl_ms])

    def log_lines(self, run_id: str) -> list[bytes]:
        """The kept log lines of a run, oldest first."""
        (lines,) = self.wires.commands([("LRANGE", self.keys.log(run_id), 0, -1)])
        return list(lines)

    def newest_log_lines(self, run_ids: Sequence[str]) -> dict[str, bytes | None]:
        """The newest kept log line of each run."""
        rows = self.wires.commands([("LRANGE", self.keys.log(run_id), -1, -1) for run_id in run_ids]) if run_ids else []
        return {run_id: row[0] if row else None for run_id, row in zip(run_ids, rows, strict=True)}

    def note_progress(self, notes: Sequence[tuple[str, str, bytes]]) -> None:
        """Note (run, ticket, value): how far attempts have come. What an attempt says that is over is not heard."""
        for first in range(0, len(notes), SLICE_CALLS):
            self._run("progress", notes[first : first + SLICE_CALLS])

    def read_progress(self, run_ids: Sequence[str]) -> list[tuple[str, bytes] | None]:
        """Of each run, the ticket of its latest attempt and what that has said; ``None`` where it has said nothing."""
        rows = self.wires.commands([("HMGET", self.keys.record(run_id), "e", "h") for run_id in run_ids])
        found: list[tuple[str, bytes] | None] = []
        for ticket, stored in rows:
            of, _, value = (stored or b"").partition(b"\0")
            found.append((ticket.decode(), value) if ticket and of == ticket else None)
        return found

    def write_flow_run(self, flow_run_id: str, fields: Mapping[str, str | bytes]) -> None:
        """Note something about a flow run."""
        told = [flow_run_id, fields["type"]] if "type" in fields else None
        self._describe(self.keys.flow(flow_run_id), fields, self.ttl_ms, told)

    def read_flow_run(self, flow_run_id: str) -> dict[str, bytes]:
        """What is known of a flow run."""
        (row,) = self.wires.commands([("HGETALL", self.keys.flow(flow_run_id))])
        return {row[i].decode(): row[i + 1] for i in range(0, len(row), 2)}

    def counts(self) -> dict[tuple[str, bytes], int]:
        """How many runs have ended so far: (task, status) -> number."""
        (row,) = self.wires.commands([("HGETALL", self.keys.counts)])
        return {(_text(row[i][2:]) or "", row[i][:1]): int(row[i + 1]) for i in range(0, len(row), 2)}

    def submitted(self) -> dict[tuple[str, str], int]:
        """How many calls were ever accepted, by task and queue."""
        (row,) = self.wires.commands([("HGETALL", self.keys.submitted)])
        found: dict[tuple[str, str], int] = {}
        for at in range(0, len(row), 2):
            queue, _, task = (_text(row[at]) or "").partition(":")
            found[(task, queue)] = int(row[at + 1])
        return found

    def reachable(self) -> bool:
        """Whether the server answers now."""
        try:
            self.wires.commands([("PING",)])
        except BrokerUnavailable:
            return False
        return True

    def close(self) -> None:
        """Close the connections."""
        self.wires.close()
