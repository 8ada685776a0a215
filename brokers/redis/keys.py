"""Every key name of a namespace, once.

All keys begin with ``{namespace}:``; the braces put them into one hash slot, so that a script may touch any of them on
a cluster. The scripts build the same names in ``scripts/prelude.lua`` from the prefix they get as ``KEYS[1]``.

=====================  =========  ====================================================================================
key                    type       holds
=====================  =========  ====================================================================================
``r:<run>``            hash       the record of a run; its fields are listed below
``q:<route>``          stream     queued runs; route = ``<queue>:<priority><lane>``; an entry's ``i`` is the run, plain
                                  calls have ``t b f m`` besides, as in the record
``d:<run>``            list       runs parked until this one has ended (``!`` at the end: also after a failure)
``delayed``            zset       runs by the moment (server ms) at which they are queued
``expiring``           zset       runs by the moment at which they are cancelled if they have not started; those on
                                  their way to a foreign Celery application, by the moment at which they are lost
``releasing``          zset       ended runs with more dependants than one script should release
``in:<process>``       stream     inbox of a process: ends of runs it waits for (``o``), orders to it (``c``)
``workers``            zset       consumers by their last beat (server ms)
``worker:<consumer>``  hash       what a consumer says of itself
``dead``               zset       dead letters by time
``queues``             set        queue names seen
``paused``             set        queues whose calls are not handed out
``counts``             hash       ``<status>:<task>`` -> how many ended so
``submitted``          hash       ``<queue>:<task>`` -> how many calls were accepted
``i:<key>``            string     idempotency key -> run
``c:<key>``            string     cached result
``l:<run>``            list       log lines
``f:<flow run>``       hash       record of a flow run
``journal``            stream     what changed, one entry per script: ``s`` packed list of the runs that were submitted,
                                  ``e`` packed list of runs and the status each has now, ``f`` of a flow run and its
                                  type of state; kept as long as results
``limit:<name>``       zset       runs that hold a place under a concurrency limit; ``limit:<name>:waiting`` the others
``outbox``             stream     runs to be published by any worker (``i`` run, ``e`` ticket, ``t`` task)   [1]_
``unpublished``        zset       runs that their sender is publishing, by the moment it began               [1]_
``carried``            hash       queue -> calls under way as messages                                       [1]_
``tickets``            string     the last number given to a ticket                                          [1]_
``spare:<worker>``     list       messages that a worker received and has no place for                       [1]_
``speeds``             hash       task -> seconds that a call of it takes                                    [1]_
``rate:<name>``        string     the next free moment of a rate limit
=====================  =========  ====================================================================================

.. [1] Only where another broker (Celery's) carries the calls.

Fields of a record, one letter each because a record that stays below 512 bytes costs Redis a third of a larger one:
``s`` status, ``t`` task, ``q`` home route, ``b`` body, ``e`` ticket (route and stream entry), ``a`` retries,
``c`` crashes, ``v`` take-overs, ``n`` open upstreams, ``w`` inboxes that wait, ``d`` has dependants, ``o`` outcome,
``f`` flow run, ``m`` meta, ``x`` expiry, ``l`` concurrency limit, ``g`` rate limit, ``p`` process that keeps the call,
``y`` deliveries allowed, ``z`` started at, ``j`` not to be queued before, ``u`` runs whose results the body refers to,
``h`` how far the attempt has come (its ticket, a zero byte, the value of ``orchestrator.progress_notes``), which counts
only while that ticket is the record's.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "w"
AGAIN: Final = "r"  # the priority letter of calls that come back; they go first
PRIORITY_LETTERS: Final = ("r", "h", "d", "l")


class Keys:
    """Key names of one namespace.

    >>> Keys("shop").record("42")
    '{shop}:r:42'
    """

    def __init__(self, namespace: str) -> None:
        self.prefix = f"{{{namespace}}}:"

    def record(self, run_id: str) -> str:
        return f"{self.prefix}r:{run_id}"

    def stream(self, route: str) -> str:
        return f"{self.prefix}q:{route}"

    def route(self, stream: str) -> str:
        """The route of a stream's key."""
        return stream[len(self.prefix) + 2 :]

    def inbox(self, process: str) -> str:
        return f"{self.prefix}in:{process}"

    def worker(self, consumer: str) -> str:
        return f"{self.prefix}worker:{consumer}"

    def log(self, run_id: str) -> str:
        return f"{self.prefix}l:{run_id}"

    def cache(self, key: str) -> str:
        return f"{self.prefix}c:{key}"

    def flow(self, flow_run_id: str) -> str:
        return f"{self.prefix}f:{flow_run_id}"

    @property
    def journal(self) -> str:
        return self.prefix + "journal"

    @property
    def workers(self) -> str:
        return self.prefix + "workers"

    @property
    def queues(self) -> str:
        return self.prefix + "queues"

    @property
    def paused(self) -> str:
        return self.prefix + "paused"

    @property
    def dead(self) -> str:
        return self.prefix + "dead"

    @property
    def counts(self) -> str:
        return self.prefix + "counts"

    @property
    def submitted(self) -> str:
        return self.prefix + "submitted"

    @property
    def outbox(self) -> str:
        return self.prefix + "outbox"

    def spare(self, worker: str) -> str:
        return f"{self.prefix}spare:{worker}"

    @property
    def speeds(self) -> str:
        return self.prefix + "speeds"

    @property
    def delayed(self) -> str:
        return self.prefix + "delayed"


def routes_of(queues: list[str], lane: str) -> list[str]:
    """The routes that a worker of these queues reads for one lane, first come first read.

    >>> routes_of(["a", "b"], "s")[:4]
    ['a:rs', 'b:rs', 'a:hs', 'b:hs']
    """
    return [f"{queue}:{letter}{lane}" for letter in PRIORITY_LETTERS for queue in queues]
