"""The futures of this process whose runs have not ended: found by run id when an end comes to the inbox.

Who writes what:

* ``_open`` has the first handle of each run. It is changed by single dict operations, from any thread, without a lock.
* ``_also_open`` has further handles on the same run, under ``_lock``. A handle that is added while the end of its run
  arrives may be missed by that end; whoever attaches it asks the store afterwards, and that answer settles it.
* ``_sending`` has runs that may not have reached the store yet (``being_sent.py``).
* ``_maps`` has the maps whose handles are made on demand: of their runs only those have entries of their own here on
  which somebody waits with a handle, and each map knows which these are (``attached``).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, islice

from brokers.asker import Asker
from brokers.base import Broker, Inbox
from brokers.block_ends import BlockEnds
from brokers.deadline import within
from brokers.errors import BrokerUnavailable
from brokers.messages import RunEnd, Status
from brokers.sender import Sender
from orchestrator.client.being_sent import BeingSent
from orchestrator.client.handles import EndCallback, Handle, open_run_ids
from orchestrator.client.map_runs import MapRuns
from orchestrator.client.open_maps import OpenMaps
from orchestrator.client.place_calls import PlaceCalls
from orchestrator.client.waiting import Latch, WaitForOne

BEING_SENT_SECONDS = 0.5
FEW = 8
ASKED_AT_ONCE = 10_000  # runs, after a gap: what is kept of more is their ids


class OpenFutures:
    """Settles the futures of one process.

    Args:
        broker: asked for the ends of runs.
        sender: flushed before runs are asked for.
        process: name of the inbox.
        seconds: how long a verb may take.

    Attributes:
        place_calls: those who wait here for places under limits; their turn comes to the same inbox.
        begin_to_send, has_sent, being_sent: see :class:`orchestrator.client.being_sent.BeingSent`.
    """

    def __init__(self, broker: Broker, sender: Sender, process: str, seconds: float) -> None:
        self._broker, self._sender, self._process, self._seconds = broker, sender, process, seconds
        self._asker = Asker(lambda run_ids: broker.inboxes.expect(run_ids, process), seconds=seconds)
        self._open: dict[str, Handle] = {}
        self._also_open: dict[str, list[Handle]] = {}
        self._maps = OpenMaps()
        self._lock = threading.Lock()
        self._sending = BeingSent(self.ask_again)
        self.begin_to_send, self.has_sent = self._sending.begin, self._sending.end
        self.being_sent = self._sending.batches
        self._inbox: Inbox | None = None
        self._inbox_lock = threading.Lock()
        self.place_calls = PlaceCalls(self._listen)

    # -- the inbox -----------------------------------------------------------------------------------------------

    def open_inbox(self) -> str:
        """The name of this process's inbox, which is being read from now on. Raises BrokerError."""
        if self._inbox is None:
            with self._inbox_lock:
                if self._inbox is None:
                    inbox = self._broker.inboxes.inbox(
                        self._process,
                        on_settled=self.settle_ends,
                        on_orders=self.place_calls.notify,
                        on_gap=self._after_gap,
                        on_pieces=self.settle_pieces,
                        is_quiet=self._is_quiet,
                    )
                    inbox.start()
                    self._inbox = inbox
        return self._process

    def _after_gap(self) -> None:
        self.place_calls.wake_all()
        self.ask_for_all()

    def read_here(self, future: Handle, latch: Latch, until: float) -> None:
        """Read the inbox in this thread meanwhile, if that can be: see :meth:`brokers.base.Inbox.read_here`."""
        if self._inbox is not None:
            self._inbox.read_here(WaitForOne(latch, future, self.settle_only), until)

    def settle_only(self, future: Handle, end: RunEnd, callback: EndCallback) -> bool:
        """Settle this handle, unless there are others on its run, or others to be called: then nothing is done."""
        run_id, status, outcome = end
        is_only = run_id == future.run_id and bool(outcome) and self._open.get(run_id) is future
        if not is_only or self._also_open.get(run_id) or (self._maps and self._maps.find(run_id) is not None):
            return False
        if not future._settle_only(status, outcome, callback):
            return False
        self._open.pop(run_id, None)  # after that: until then it is asked for, if this thread is interrupted
        return True

    def _listen(self) -> None:
        if self._inbox is not None:
            self._inbox.listen()

    def _is_quiet(self) -> bool:
        """Whether nobody is to be called at the end of a run, or for another message; of many runs it is not asked."""
        if not (self._open or self._also_open or self.place_calls or self._maps):
            return True
        if self.place_calls or len(self._open) > FEW or self._maps.some_left or any(list(self._also_open.values())):
            return False
        return not any(future._has_callbacks for future in list(self._open.values()))

    @property
    def has_inbox(self) -> bool:
        """Whether the inbox is being read."""
        return self._inbox is not None

    def ask_again(self) -> None:
        """Have the inbox's thread ask for everything that is open, as soon as the server answers."""
        if self._inbox is not None:
            self._inbox.ask_again()

    def close(self) -> None:
        """Stop reading the inbox."""
        if self._inbox is not None:
            self._inbox.stop()
            self._inbox = None

    # -- handles come and go -------------------------------------------------------------------------------------

    def watch(self, future: Handle) -> None:
        """The end of this future's run will come to the inbox: its call names the inbox, or will when it is sent."""
        future.watched = True
        self._open[future.run_id] = future

    def rename(self, future: Handle, run_id: str) -> None:
        """The call of this future, which is being sent, gets another run id."""
        self._open[run_id] = self._open.pop(future.run_id, future)
        future.run_id = run_id

    def watch_all(self, futures: Sequence[Handle]) -> None:
        """:meth:`watch` for the calls of a map."""
        runs = getattr(futures, "whole", None)
        if isinstance(runs, MapRuns):
            runs.watched = True
            return self._maps.add(runs)
        for future in futures:
            future.watched = True
        self._open.update((future.run_id, future) for future in futures)

    def attach(self, futures: Sequence[Handle]) -> None:
        """Make sure that these futures will be settled: send what waits, register at the store. Raises BrokerError."""
        being_sent = self.being_sent()
        if any(future._has_callbacks for future in futures):
            self._listen()
        with suppress(BrokerUnavailable):  # what is still on its way is not judged yet
            self._sender.flush(within(self._seconds))
        unregistered = [future for future in futures if not future.settled and self._add(future)]
        if not unregistered:
            return
        try:
            self.open_inbox()
            self.settle_ends(self._asker.ask(list(set(open_run_ids(unregistered)))), being_sent)
        except BrokerUnavailable:
            if self._inbox is None:
                self._unregister(unregistered)
                raise
            self._inbox.ask_again()  # they are open: it asks for them when the server is back, as after any absence
        except BaseException:
            self._unregister(unregistered)
            raise

    def _add(self, future: Handle | MapRuns) -> bool:
        """Whether the run still has to be registered at the store."""
        if isinstance(future, MapRuns):
            self._maps.add(future)
            is_new, future.watched = not future.watched, True
            return is_new
        is_new = self._add_alone(future)
        found = self._maps.find(future.run_id) if self._maps else None
        if found is not None:
            runs, position = found
            runs.attached.add(position)
            if future.settled:  # it ended with the map just before; any other handle asks the store
                self.detach(future)
        return is_new

    def _add_alone(self, future: Handle) -> bool:
        first = self._open.setdefault(future.run_id, future)
        if first is not future:
            with self._lock:
                others = self._also_open.setdefault(future.run_id, [])
                if not any(other is future for other in others):
                    others.append(future)
                    return True
            return False
        is_new, future.watched = not future.watched, True
        return is_new

    def _unregister(self, futures: Sequence[Handle]) -> None:
        """The store may not know that we wait for these: whoever asks again registers them again."""
        with self._lock:
            for future in futures:
                future.watched = False
                others = self._also_open.get(future.run_id, [])
                others[:] = [other for other in others if other is not future]

    def stop_watching(self, futures: Sequence[Handle]) -> None:
        """Keep no second handles on runs for which nobody waits any more: who polls with new ones piles none up."""
        if not self._also_open:
            return
        with self._lock:
            for future in futures:
                others = self._also_open.get(future.run_id)
                if others and not future._has_callbacks and any(other is future for other in others):
                    others[:] = [other for other in others if other is not future]
                    future.watched = False

    def detach(self, future: Handle) -> None:
        """Nobody waits for this handle any more: forget it, so that handles on a run that never ends do not pile up."""
        run_id = future.run_id
        with self._lock:
            others = [other for other in self._also_open.pop(run_id, ()) if other is not future and not other.settled]
            if self._open.get(run_id) is future:
                del self._open[run_id]
                if others:
                    self._open[run_id] = others.pop()
            if others:
                self._also_open[run_id] = others
        future.watched = False

    def forget(self, futures: Sequence[Handle]) -> None:
        """Nobody gets these handles: their calls could not be sent."""
        runs = getattr(futures, "whole", None)
        if isinstance(runs, MapRuns):
            return self._maps.forget(runs)
        for future in futures:
            self._open.pop(future.run_id, None)

    def is_open(self, run_id: str) -> bool:
        """Whether a handle on this run is kept."""
        return run_id in self._open or bool(self._also_open.get(run_id)) or self._maps.is_open(run_id)

    def some_open(self, most: int) -> list[str]:
        """Runs whose ends are waited for; of many, some by chance, so that none is never among them."""
        run_ids = list({*self._open, *self._maps.some_open(most)})
        return run_ids if len(run_ids) <= most else random.sample(run_ids, most)

    # -- ends ----------------------------------------------------------------------------------------------------

    def settle(self, run_id: str, status: bytes, outcome: bytes) -> None:
        """A run has ended so."""
        found = self._maps.find(run_id) if self._maps else None
        if found is not None:
            runs, position = found
            runs.end_one(position, status + outcome)
        self._settle_alone(run_id, status, outcome)

    def _settle_alone(self, run_id: str, status: bytes, outcome: bytes) -> None:
        future = self._open.pop(run_id, None)
        if future is not None:
            future.settle(status, outcome)
        for other in self._also_open.pop(run_id, ()):
            other.settle(status, outcome)

    def settle_pieces(self, pieces: Sequence[BlockEnds]) -> None:
        """Runs of blocks have ended so; all their outcomes are here."""
        for piece in pieces:
            runs = self._maps.of_block(piece.block)
            if runs is None:
                for end in piece.each():
                    self._settle_alone(*end)
                continue
            ended = runs.end_piece(piece)
            for position in runs.attached.intersection(ended) if runs.attached else ():
                kept = runs.end_of(position)
                if kept is not None:
                    self._settle_alone(runs.run_ids[position], kept[:1], kept[1:])

    def settle_ends(self, ends: list[RunEnd], being_sent: Sequence[Sequence[str]] = ()) -> None:
        """Runs have ended so; an empty outcome is read from the store.

        Args:
            ends: run id, status, outcome.
            being_sent: runs that were on their way to the store before it was asked, and may be unknown to it.
        """
        long_ones: list[str] = []
        if being_sent and any(status == Status.UNKNOWN for _, status, _ in ends):
            ends = self._sending.without_doubtful(ends, being_sent)
        for run_id, status, outcome in ends:
            if not outcome and status != Status.UNKNOWN:
                long_ones.append(run_id)
                continue
            self.settle(run_id, status, outcome)
        if long_ones:
            for record in self._broker.records.read(long_ones):
                self.settle(record.run_id, record.status, record.outcome or b"\0")

    def ask_for_all(self) -> None:
        """Messages may have been lost: ask the store for everything that is open. Raises BrokerError."""
        being_sent = self.being_sent()
        run_ids = chain(list(self._open), self._maps.open_run_ids())
        unknown = self._sending.without_doubtful(self._ask(run_ids), being_sent)
        if unknown:  # a call is watched a moment before it is sent, and is not lost then
            time.sleep(BEING_SENT_SECONDS)
            being_sent = self.being_sent()
            self.settle_ends(self._ask([run_id for run_id, _, _ in unknown]), being_sent)

    def _ask(self, run_ids: Iterable[str]) -> list[RunEnd]:
        """Settle what has ended; returns those that the store does not know."""
        unknown: list[RunEnd] = []
        left = iter(run_ids)
        while some := list(islice(left, ASKED_AT_ONCE)):
            ends = self._broker.inboxes.expect(some, self._process)
            self.settle_ends([end for end in ends if end[1] != Status.UNKNOWN])
            unknown += [end for end in ends if end[1] == Status.UNKNOWN]
        return unknown
