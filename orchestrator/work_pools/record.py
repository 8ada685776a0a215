"""A work pool as the store keeps it: a document of plain values, which is read whatever became of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgpack

from brokers.facets.documents import Document
from orchestrator.deployments.names import queue_of_pool
from orchestrator.deployments.pools import DEFAULT_QUEUE, KIND, queue_table
from orchestrator.serializers.documents import pack_document, unpack_document
from orchestrator.work_pools.base_templates import PROCESS, base_template

READY, NOT_READY, PAUSED, UNREADABLE = "READY", "NOT_READY", "PAUSED", "UNREADABLE"


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """A queue of a pool.

    Attributes:
        name: for people; queue: the store's name of it.
        priority: 1 is read first.
        paused: by itself, whatever the pool is.
        description: for people.
    """

    name: str
    queue: str
    priority: int = 1
    paused: bool = False
    description: str | None = None


@dataclass(frozen=True, slots=True)
class WorkPool:
    """A work pool.

    Attributes:
        id: uuid5 of namespace and name.
        type: how its runs are started; see :data:`orchestrator.work_pools.base_templates.TYPES`.
        base_job_template: see :mod:`orchestrator.work_pools.job`; empty: the type's own.
        queues: best first; ``default`` is always among them.
        paused: none of its runs is handed out.
        created_at: unix seconds.
        trouble: why it cannot be read here.
    """

    id: str
    name: str
    type: str = PROCESS
    description: str | None = None
    base_job_template: dict[str, Any] | None = None
    queues: tuple[WorkQueue, ...] = ()
    paused: bool = False
    created_at: float = 0.0
    generation: int = 0
    written_at_ms: int = 0
    trouble: str = ""

    @property
    def template(self) -> dict[str, Any]:
        """Its base job template, or that of its type."""
        return self.base_job_template or base_template(self.type)

    def document(self) -> dict[str, str | bytes]:
        """The fields of its document."""
        plain = {
            "type": self.type,
            "description": self.description,
            "template": self.base_job_template,
            "created_at": self.created_at,
            "queues": {each.name: _details(each) for each in self.queues},
        }
        table = msgpack.packb({each.name: each.queue for each in self.queues})
        return {"d": pack_document(KIND, self.id, plain), "queues": table, "p": "1" if self.paused else "0"}

    def status(self, polled: Collection[str]) -> str:
        """READY while a live worker reads one of its queues, else NOT_READY; PAUSED where people have paused it.

        Args:
            polled: the queues that live workers read.
        """
        if self.trouble:
            return UNREADABLE
        if self.paused:
            return PAUSED
        return READY if any(each.queue in polled for each in self.queues) else NOT_READY


def _details(queue: WorkQueue) -> dict[str, Any]:
    return {"priority": queue.priority, "paused": queue.paused, "description": queue.description}


def pool_of(document: Document | None) -> WorkPool | None:
    """The pool of a document; ``None`` where there is none. A damaged part is as if it had not been there."""
    if document is None:
        return None
    plain, trouble = unpack_document(KIND, document.id, document.fields.get("d", b""))
    description, template, created = (plain.get(name) for name in ("description", "template", "created_at"))
    return WorkPool(
        document.id,
        document.name,
        type=plain["type"] if isinstance(plain.get("type"), str) else PROCESS,
        description=description if isinstance(description, str) else None,
        base_job_template=template if isinstance(template, dict) else None,
        queues=_queues_of(document, plain.get("queues")),
        paused=document.fields.get("p") == b"1",
        created_at=float(created) if isinstance(created, (int, float)) else 0.0,
        generation=document.generation,
        written_at_ms=document.written_at_ms,
        trouble=trouble,
    )


def _queues_of(document: Document, details: object) -> tuple[WorkQueue, ...]:
    known = details if isinstance(details, dict) else {}
    table = {DEFAULT_QUEUE: queue_of_pool(document.id, 0)} | queue_table(document.fields.get("queues", b""))
    return in_order(_queue_of(name, queue, known.get(name)) for name, queue in table.items())


def _queue_of(name: str, queue: str, detail: object) -> WorkQueue:
    facts = detail if isinstance(detail, dict) else {}
    priority, description = facts.get("priority"), facts.get("description")
    fits = isinstance(priority, int) and not isinstance(priority, bool) and priority >= 1
    return WorkQueue(
        name,
        queue,
        priority if isinstance(priority, int) and fits else 1,
        facts.get("paused") is True,
        description if isinstance(description, str) else None,
    )


def in_order(queues: Any) -> tuple[WorkQueue, ...]:
    """Queues in the order in which workers read them."""
    return tuple(sorted(queues, key=lambda each: (each.priority, each.queue)))
