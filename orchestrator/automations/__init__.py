"""Automations: what is done when events come, or do not: send a notification, run a deployment, cancel a run.

``automation`` is what users import; ``evaluation``, ``counting`` and ``matching`` decide, and read nothing; ``record``,
``lookup`` and ``editing`` are automations in the store; ``firing_calls`` makes the calls of actions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.automations.automation import Automation as Automation
    from orchestrator.automations.notifying import notify as notify
    from orchestrator.events.schemas.automations import AutomationCore as AutomationCore

_HOMES = {
    "Automation": "orchestrator.automations.automation",
    "AutomationCore": "orchestrator.events.schemas.automations",
    "notify": "orchestrator.automations.notifying",
}
_OF_EVENTS = (  # Prefect has them in both places
    "Action CallWebhook CancelFlowRun ChangeFlowRunState CompositeTrigger CompoundTrigger DeclareIncident DoNothing "
    "EventTrigger MetricTrigger PauseAutomation PauseDeployment PauseWorkPool PauseWorkQueue Posture "
    "ResourceSpecification ResourceTrigger ResumeAutomation ResumeDeployment ResumeWorkPool ResumeWorkQueue "
    "RunDeployment SendNotification SequenceTrigger SuspendFlowRun Trigger"
)
_HOMES |= dict.fromkeys(_OF_EVENTS.split(), "orchestrator.events")

__all__ = ["Automation", "AutomationCore", "notify"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
