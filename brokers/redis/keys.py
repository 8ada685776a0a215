"""Every key name of a namespace, once.

All keys begin with ``{namespace}:``; the braces put them into one hash slot, so that a script may touch any of them on
a cluster. The scripts build the same names in ``scripts/lib/store.lua`` from the prefix they get as ``KEYS[1]``.

=====================  =========  ====================================================================================
key                    type       holds
=====================  =========  ====================================================================================
``r:<run>``            hash       the record of a run: ``RecordField`` of ``brokers/schema.py``
``q:<route>``          stream     queued runs; route = ``<queue>:<priority><lane>``; an entry's ``i`` is the run, plain
                                  calls have ``t b f m`` besides, as in the record
``b:<block>``          hash       calls of a map that are kept together: ``BlockField``; a part that is queued is a
                                  range, ``r:<block>r<number>`` (``s`` instead of ``r`` where they wait for others):
                                  ``RangeField``; ``d:<block>`` and ``n:<block>`` have who waits for calls of it, and
                                  who needs results
``more``               hash       route -> how many more calls wait in it than it has entries, since an entry may be a
                                  range; ``<route>!``: how many more are held
``d:<run>``            list       runs parked until this one has ended (``!`` at the end: also after a failure)
``delayed``            zset       runs by the moment (server ms) at which they are queued
``expiring``           zset       runs by the moment at which they are cancelled if they have not started; those on
                                  their way to a foreign Celery application, by the moment at which they are lost
``unknown``            zset       runs (and ``<queue>:<task>``) whose task no live worker knew, by the moment at which
                                  they are given up; ``unknown:<queue>:<task>`` the runs of each
``unknown_tasks``      set        ``<queue>:<task>`` of these
``releasing``          zset       ended runs with more dependants than one script should release
``in:<process>``       stream     inbox of a process: ends of runs it waits for (``o``), orders to it (``c``)
``workers``            zset       consumers by their last beat (server ms)
``block_readers``      zset       those of them that read blocks: workers of older versions are in ``workers`` alone
``chain_readers``      zset       those that read blocks whose calls wait for others
``chained``            zset       blocks whose calls wait for others, by the moment at which the mover looks at them
``range_readers``      zset       those that read them from messages                                         [1]_
``worker:<consumer>``  hash       the description of a consumer
``dead``               zset       dead letters by time
``queues``             set        queue names seen
``paused``             set        queues whose calls are not handed out
``counts``             hash       ``<status>:<task>`` -> how many ended so
``submitted``          hash       ``<queue>:<task>`` -> how many calls were accepted
``i:<key>``            string     idempotency key -> run; lives as long as that run's record
``n:<run>``            set        runs that have not ended and whose arguments refer to this one's result: it is kept
``kept``               zset       ended runs that are kept for others, by the moment at which they would have expired
``c:<key>``            string     cached result
``l:<run>``            list       log lines
``txn:<run>``          list       what has to be undone if the process of a run that is in a transaction dies (packed)
``f:<flow run>``       hash       record of a flow run
``inp:<flow run>``     stream     inputs that were sent to it: key ``k``, value ``v`` (packed)
``inpkeys:<run>``      hash       key -> entry of that stream
``inpwait:<run>``      set        ``<inbox> <receiver>`` of those who wait for the next one
``flows``              zset       flow runs that go on, by the last beat of their process (server ms)
``runs``               zset       runs of deployments, whose records live longer than the journal, by the moment at
                                  which they are to begin (ms); ``runs:<deployment>`` those of one
``listed``             zset       ``<run> <deployment>`` of these by the moment at which it is looked whether the
                                  record is still there
``children:<run>``     list       runs of deployments that are cancelled with the flow run that started them
``orphaned``           zset       flow runs that were cancelled, or crashed, whose children the mover cancels
``killed``             zset       flow runs that ended with their process, before their hooks, by that moment (ms);
                                  ``~<run>``: runs that ended and have something to be undone (``txn:<run>``)
``journal``            stream     what changed, one entry per script: ``s`` packed list of the runs that were submitted,
                                  ``S`` of blocks and how many calls each has, ``e`` of runs and the status each has
                                  now, ``E`` of blocks, places and letters, ``f`` of flow runs and the types of their
                                  states (``n`` names of those); kept as long as results
``evt``                stream     what happened beside runs, one entry per script: ``e`` packed list of events; kept for
                                  ``events_ttl_seconds``
``announced``          hash       ``w <worker>`` of those that live: when that was seen last (ms), and its name;
                                  ``p <pool>``: ``ready``, ``not-ready`` or ``paused``
``ready``              zset       deployments that somebody serves, by the last mark of that (server ms)
``late``               zset       runs of deployments by the moment at which they are to begin (ms), until it is looked
                                  whether they have
``watched``            string     somebody has looked for what is lost or late, a moment ago
``once:<name>``        string     what a script replied that was run under this name, for a minute
``emitted:<event>``    string     an event that a program reported is there, for ten minutes
``doc:<kind>:<id>``    hash       a definition that people made: its fields, ``g`` its generation, ``at`` of the last
                                  write (server ms), ``w`` token of that write, ``n`` its name; never expires
``docs:<kind>``        zset       definitions by their last write (server ms)
``docname:<kind>``     hash       name -> definition
``audit``              stream     who wrote and deleted what, about 100,000 lines
``guesses:<name>``     hash       guesses of passwords by an address, or at a name: ``n`` how many, ``at`` the last one
                                  (server ms); expires an hour later
``art:<id>``           hash       what a run left behind: ``ArtifactField`` of ``brokers/facets/artifacts.py``;
                                  ``art:<id>:<n>`` strings, chunks of its contents, which expire unless it is made
``arts``               zset       artifacts by the moment of their creation (microseconds); ``artkeyed`` those with a
                                  key, ``artkey:<key>`` the versions of one, ``artsof:<run>`` those that a run has left
``artkeyed``           zset       see ``arts``
``artkey:<key>``       zset       see ``arts``
``artsof:<run>``       zset       see ``arts``
``artkeys``            zset       keys by the moment of their newest version
``artends``            zset       artifacts without a key, by the moment (server ms) at which it is looked whether a
                                  run of theirs is still kept
``sched:<id>``         hash       a schedule: ``ScheduleField`` of ``brokers/schema.py``; never expires
``due``                zset       schedules by their next tick (server ms)
``scheds``             zset       schedules by their last write (server ms); ``scheds:<owner>`` set of an owner's
``fired:<schedule>``   zset       ticks that had a run (ms), the newest 10,000
``ticker``             hash       ``seen``: when somebody looked for what is due, ``back``: the end of the last time in
                                  which nobody did
``reactor``            hash       how far automations have looked: ``v`` counts what reactors wrote, ``j`` position in
                                  the journal, ``e`` in the stream of events, ``p`` the last event of an entry that
                                  was looked at in part
``count:<count>``      string     what a trigger of an automation has counted (packed); expires when it means nothing
``deadlines``          zset       counts of Proactive triggers by the moment (ms) at which their time is over
``firings:<id>``       list       firings of an automation (packed), the newest first
``limit:<name>``       zset       runs that hold a place under a limit, and leases (``~<lease>``), by when they took it;
                                  what was declared of it is ``doc:limit:<name>``; ``limit:<name>:waiting`` is of 0.1
``weights:<name>``     hash       lease -> how many places it holds, where it is not one
``until:<name>``       zset       leases, and runs that were called up, by the moment at which their places are free
``fill:<name>``        hash       places that ``rate_limit`` has taken (``amount``) until a moment (``at``)
``lines:<name>``       set        the lines in which somebody waits under this limit
``line:<class>``       zset       runs and leases that want the same (``<places>*<limits>``), in order of arrival
``limited``            zset       limits by the moment at which the mover looks at them
``admitted:<name>``    zset       runs of a deployment that are due and not over
``lease:<lease>``      hash       limits ``l``, places ``n``, state ``s`` (``H`` holds, ``W`` waits), inbox ``i``, run
                                  ``r``; of a turn that was booked the moment ``at``
``leases:<run>``       set        leases that end with the delivery of a run
``outbox``             stream     runs to be published by any worker (``i`` run, ``e`` ticket, ``t`` task)   [1]_
``range_outbox``       stream     ranges of blocks to be published (``F`` first place, ``n`` calls)            [1]_
``unpublished``        zset       runs that their sender is publishing, by the moment it began               [1]_
``unpublished_ranges`` zset       ranges of blocks likewise                                                  [1]_
``carried``            hash       queue -> calls under way as messages                                       [1]_
``awaited:<queue>``    zset       what waits for a message, runs and ranges, by the number of its ticket         [1]_
``tickets``            string     the last number given to a ticket                                          [1]_
``spare:<worker>``     list       messages that a worker received and has no place for                       [1]_
``speeds``             hash       task -> seconds that a call of it takes                                    [1]_
``rate:<name>``        string     the next free moment of a rate limit
=====================  =========  ====================================================================================

.. [1] Only where another broker (Celery's) carries the calls.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "w"


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

    def inputs(self, flow_run_id: str) -> str:
        return f"{self.prefix}inp:{flow_run_id}"

    def input_keys(self, flow_run_id: str) -> str:
        return f"{self.prefix}inpkeys:{flow_run_id}"

    def undo_log(self, run_id: str) -> str:
        return f"{self.prefix}txn:{run_id}"

    def limit(self, name: str) -> str:
        return f"{self.prefix}limit:{name}"

    def flow(self, flow_run_id: str) -> str:
        return f"{self.prefix}f:{flow_run_id}"

    def runs_of(self, deployment_id: str | None) -> str:
        return f"{self.prefix}runs:{deployment_id}" if deployment_id else f"{self.prefix}runs"

    def document(self, kind: str, document_id: str) -> str:
        return f"{self.prefix}doc:{kind}:{document_id}"

    def documents(self, kind: str) -> str:
        return f"{self.prefix}docs:{kind}"

    def document_names(self, kind: str) -> str:
        return f"{self.prefix}docname:{kind}"

    def artifact(self, artifact_id: str) -> str:
        return f"{self.prefix}art:{artifact_id}"

    def chunk(self, artifact_id: str, number: int) -> str:
        return f"{self.prefix}art:{artifact_id}:{number}"

    def artifacts(self, key: str | None = None, run_id: str | None = None) -> str:
        """The list of all, of those that a run has left, of the versions of a key; empty: of those with one."""
        if run_id is not None:
            return f"{self.prefix}artsof:{run_id}"
        if key is not None:
            return f"{self.prefix}artkey:{key}" if key else f"{self.prefix}artkeyed"
        return f"{self.prefix}arts"

    @property
    def artifact_keys(self) -> str:
        return self.prefix + "artkeys"

    def schedule(self, schedule_id: str) -> str:
        return f"{self.prefix}sched:{schedule_id}"

    def schedules_of(self, owner: str) -> str:
        return f"{self.prefix}scheds:{owner}"

    def fired(self, schedule_id: str) -> str:
        return f"{self.prefix}fired:{schedule_id}"

    @property
    def schedules(self) -> str:
        return self.prefix + "scheds"

    @property
    def due(self) -> str:
        return self.prefix + "due"

    def guesses(self, name: str) -> str:
        return f"{self.prefix}guesses:{name}"

    @property
    def audit(self) -> str:
        return self.prefix + "audit"

    @property
    def flows(self) -> str:
        return self.prefix + "flows"

    @property
    def journal(self) -> str:
        return self.prefix + "journal"

    @property
    def events(self) -> str:
        return self.prefix + "evt"

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

    @property
    def range_outbox(self) -> str:
        return self.prefix + "range_outbox"

    def spare(self, worker: str) -> str:
        return f"{self.prefix}spare:{worker}"

    @property
    def speeds(self) -> str:
        return self.prefix + "speeds"

    @property
    def unknown_tasks(self) -> str:
        return self.prefix + "unknown_tasks"

    @property
    def delayed(self) -> str:
        return self.prefix + "delayed"
