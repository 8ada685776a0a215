"""Names of events, resources and labels. Ours may be written with either prefix: ``prefect.`` or ``orchestrator.``.

They are stored and shown as Prefect 3 has them, so that its users' automations and filters fit.
"""

from __future__ import annotations

from typing import Final

OURS: Final = "orchestrator."
PREFECTS: Final = "prefect."

RESOURCE_ID: Final = "prefect.resource.id"
RESOURCE_NAME: Final = "prefect.resource.name"
RESOURCE_ROLE: Final = "prefect.resource.role"
STATE_TYPE: Final = "prefect.state-type"
STATE_NAME: Final = "prefect.state-name"
STATE_MESSAGE: Final = "prefect.state-message"
STATE_TIMESTAMP: Final = "prefect.state-timestamp"

FLOW_RUN: Final = "flow-run"
TASK_RUN: Final = "task-run"


def as_prefect(name: str) -> str:
    """A name with the prefix under which it is stored.

    >>> as_prefect("orchestrator.flow-run.Failed"), as_prefect("shop.order.paid")
    ('prefect.flow-run.Failed', 'shop.order.paid')
    """
    return PREFECTS + name[len(OURS) :] if name.startswith(OURS) else name


def resource_id(kind: str, object_id: str) -> str:
    """The id of a resource of ours.

    >>> resource_id("flow-run", "0199")
    'prefect.flow-run.0199'
    """
    return f"{PREFECTS}{kind}.{object_id}"


def fits(pattern: str, name: str | None) -> bool:
    """Whether a name is what a pattern says: ``*`` at its end stands for anything, ``!`` at its start denies it.

    >>> fits("orchestrator.flow-run.*", "prefect.flow-run.Failed"), fits("!a.b", "a.b"), fits("*", None)
    (True, False, False)
    """
    if name is None:
        return False
    if pattern.startswith("!"):
        return not fits(pattern[1:], name)
    wanted, name = as_prefect(pattern), as_prefect(name)
    return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted
