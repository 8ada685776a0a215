"""What happened: to runs, deployments, work pools, schedules, workers, and whatever a program reports.

>>> from orchestrator.events import Event, emit_event

Events of runs are made of the journal, so a run costs nothing more; all others are kept in a stream of their own.
"""

from importlib import import_module
from typing import Any

from orchestrator.events.clients import get_events_client, get_events_subscriber
from orchestrator.events.emitting import emit_event
from orchestrator.events.filters import EventFilter
from orchestrator.events.schemas.events import Event, ReceivedEvent, RelatedResource, Resource, ResourceSpecification
from orchestrator.events.subscription import subscribe

_HOMES = {
    "actions": (
        "ActionTypes Action DoNothing RunDeployment PauseDeployment ResumeDeployment ChangeFlowRunState CancelFlowRun "
        "DeleteFlowRun SuspendFlowRun ResumeFlowRun CallWebhook SendNotification PauseWorkPool ResumeWorkPool "
        "PauseWorkQueue ResumeWorkQueue PauseAutomation ResumeAutomation DeclareIncident"
    ),
    "schemas.automations": (
        "AutomationCore Posture TriggerTypes Trigger ResourceTrigger EventTrigger MetricTrigger CompositeTrigger "
        "CompoundTrigger SequenceTrigger"
    ),
    "schemas.deployment_triggers": (
        "DeploymentTriggerTypes DeploymentEventTrigger DeploymentMetricTrigger DeploymentCompoundTrigger "
        "DeploymentSequenceTrigger"
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Triggers and actions of automations, which are loaded when they are used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


__all__ = [
    "Event",
    "EventFilter",
    "ReceivedEvent",
    "RelatedResource",
    "Resource",
    "ResourceSpecification",
    "emit_event",
    "get_events_client",
    "get_events_subscriber",
    "subscribe",
]
