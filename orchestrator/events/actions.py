"""What an automation does when it fires: a class for each kind of action, as in Prefect 3 (``prefect.events.actions``).

These are values; :mod:`orchestrator.automations` performs them, as calls of a queue of its own.

>>> RunDeployment(deployment_id="etl/nightly", parameters={"day": "{{ event.payload.day }}"}).describe_for_cli()
'Run deployment etl/nightly'
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, field_validator, model_validator

DEFAULT_SUBJECT: Final = "Orchestrator automated notification"
STATE_TYPES: Final = (
    "SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "PAUSED", "CANCELLING"
)  # fmt: skip


def _reference(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return UUID(value)
    except ValueError:
        return value


Reference = Annotated[UUID | Annotated[str, Field(min_length=1, max_length=500)], BeforeValidator(_reference)]
"""An id, or (ours) a name: ``flow/deployment``, ``slug/block``, a pool, ``pool/queue``, an automation."""


class Action(BaseModel):
    """Something to be done."""

    model_config = ConfigDict(extra="forbid", ser_json_timedelta="float")

    type: str

    def describe_for_cli(self) -> str:
        """In words."""
        return self.type.replace("-", " ").capitalize()

    @property
    def templates(self) -> list[str]:
        """The templates in it."""
        return []


class DoNothing(Action):
    """Do nothing: the firing is noted all the same."""

    type: Literal["do-nothing"] = "do-nothing"


class _OnOne(Action):
    """An action on one object: a selected one, or the one that the event is about."""

    source: Literal["selected", "inferred"] = "selected"

    @property
    def reference(self) -> UUID | str | None:
        """Which one was selected."""
        value: UUID | str | None = getattr(self, self._id_field())
        return value

    @classmethod
    def _id_field(cls) -> str:
        return next(name for name in cls.model_fields if name.endswith("_id"))

    @model_validator(mode="before")
    @classmethod
    def _selected_if_named(cls, data: Any) -> Any:
        """Without ``source`` it is inferred where nothing is named."""
        if isinstance(data, dict) and "source" not in data and data.get(cls._id_field()) is None:
            return {**data, "source": "inferred"}
        return data

    @model_validator(mode="after")
    def _named_if_selected(self) -> Self:
        if (self.source == "selected") != (self.reference is not None):
            field = self._id_field()
            raise ValueError(f"{field} is {'required' if self.reference is None else 'not allowed'} with {self.source}")
        return self

    def describe_for_cli(self) -> str:
        """In words."""
        return f"{super().describe_for_cli()} {self.reference or 'of the event'}"


class DeploymentAction(_OnOne):
    """An action on a deployment."""

    deployment_id: Reference | None = None


class RunDeployment(DeploymentAction):
    """Run a deployment. Texts in parameters may be templates.

    Attributes:
        parameters: over the deployment's.
        job_variables: over the deployment's.
        schedule_after: how long to wait.
    """

    type: Literal["run-deployment"] = "run-deployment"
    parameters: dict[str, Any] | None = None
    job_variables: dict[str, Any] | None = None
    schedule_after: timedelta = Field(default=timedelta(0), ge=timedelta(0))


class PauseDeployment(DeploymentAction):
    """Pause a deployment: its schedules are left alone."""

    type: Literal["pause-deployment"] = "pause-deployment"


class ResumeDeployment(DeploymentAction):
    """Resume a deployment."""

    type: Literal["resume-deployment"] = "resume-deployment"


class ChangeFlowRunState(Action):
    """Give the flow run of the event another state.

    Attributes:
        state: its type; CANCELLED and CANCELLING stop a run that is not over, and SCHEDULED queues an ended one again.
        name, message: of the state.
    """

    type: Literal["change-flow-run-state"] = "change-flow-run-state"
    name: str | None = None
    state: str
    message: str | None = None
    force: bool = False

    @field_validator("state")
    @classmethod
    def _known_state(cls, value: str) -> str:
        if value.upper() not in ("CANCELLED", "CANCELLING", "SCHEDULED"):
            known = value.upper() in STATE_TYPES
            raise ValueError(
                f"a flow run cannot be made {value!r} from outside: only CANCELLED, CANCELLING and SCHEDULED"
                if known
                else f"{value!r} is no type of states; known: {', '.join(STATE_TYPES)}"
            )
        return value.upper()


class CancelFlowRun(Action):
    """Cancel the flow run of the event."""

    type: Literal["cancel-flow-run"] = "cancel-flow-run"


class DeleteFlowRun(Action):
    """Delete the flow run of the event, once it is over."""

    type: Literal["delete-flow-run"] = "delete-flow-run"


class CallWebhook(Action):
    """Call the webhook of a block.

    Attributes:
        block_document_id: the block, by its id or as ``slug/name``.
        payload: a template; JSON is sent as JSON, anything else as text.
    """

    type: Literal["call-webhook"] = "call-webhook"
    block_document_id: Reference
    payload: str | dict[str, Any] = ""

    @property
    def templates(self) -> list[str]:
        """The templates in it."""
        return texts_in(self.payload)

    def describe_for_cli(self) -> str:
        """In words."""
        return f"Call webhook {self.block_document_id}"


class SendNotification(Action):
    """Send a notification with a block.

    Attributes:
        block_document_id: the block, by its id or as ``slug/name``.
        subject, body: templates.
    """

    type: Literal["send-notification"] = "send-notification"
    block_document_id: Reference
    subject: str = DEFAULT_SUBJECT
    body: str

    @property
    def templates(self) -> list[str]:
        """The templates in it."""
        return [self.subject, self.body]

    def describe_for_cli(self) -> str:
        """In words."""
        return f"Send notification with {self.block_document_id}"


class WorkPoolAction(_OnOne):
    """An action on a work pool."""

    work_pool_id: Reference | None = None


class PauseWorkPool(WorkPoolAction):
    """Pause a work pool: none of its runs is handed out."""

    type: Literal["pause-work-pool"] = "pause-work-pool"


class ResumeWorkPool(WorkPoolAction):
    """Resume a work pool."""

    type: Literal["resume-work-pool"] = "resume-work-pool"


class WorkQueueAction(_OnOne):
    """An action on a queue of a work pool, ``pool/queue``."""

    work_queue_id: Reference | None = None


class PauseWorkQueue(WorkQueueAction):
    """Pause a queue of a work pool."""

    type: Literal["pause-work-queue"] = "pause-work-queue"


class ResumeWorkQueue(WorkQueueAction):
    """Resume a queue of a work pool."""

    type: Literal["resume-work-queue"] = "resume-work-queue"


class AutomationAction(_OnOne):
    """An action on an automation."""

    automation_id: Reference | None = None


class PauseAutomation(AutomationAction):
    """Disable an automation."""

    type: Literal["pause-automation"] = "pause-automation"


class ResumeAutomation(AutomationAction):
    """Enable an automation."""

    type: Literal["resume-automation"] = "resume-automation"


class _Refused(Action):
    """An action of Prefect's that is none here."""

    reason: Literal[""] = ""

    @model_validator(mode="after")
    def _refuse(self) -> Self:
        raise ValueError(f"{self.type!r} {_REASONS[self.type]}")


_REASONS: Final = {
    "declare-incident": "exists in Prefect Cloud only",
}


class SuspendFlowRun(Action):
    """Suspend the flow run of the event: at its next task it gives its worker back, and waits to be resumed."""

    type: Literal["suspend-flow-run"] = "suspend-flow-run"


class ResumeFlowRun(Action):
    """Resume the flow run of the event, which is paused or suspended."""

    type: Literal["resume-flow-run"] = "resume-flow-run"


class DeclareIncident(_Refused):
    """Refused: it exists in Prefect Cloud only."""

    type: Literal["declare-incident"] = "declare-incident"


ACTIONS: Final = (
    DoNothing, RunDeployment, PauseDeployment, ResumeDeployment, CancelFlowRun, DeleteFlowRun, ChangeFlowRunState,
    SendNotification, CallWebhook, PauseWorkPool, ResumeWorkPool, PauseWorkQueue, ResumeWorkQueue, PauseAutomation,
    ResumeAutomation, SuspendFlowRun, ResumeFlowRun, DeclareIncident,
)  # fmt: skip
ActionTypes = Annotated[
    DoNothing | RunDeployment | PauseDeployment | ResumeDeployment | CancelFlowRun | DeleteFlowRun
    | ChangeFlowRunState | SendNotification | CallWebhook | PauseWorkPool | ResumeWorkPool | PauseWorkQueue
    | ResumeWorkQueue | PauseAutomation | ResumeAutomation | SuspendFlowRun | ResumeFlowRun | DeclareIncident,
    Discriminator("type"),
]  # fmt: skip
"""Any action; its ``type`` says which."""


def texts_in(value: Any) -> list[str]:
    """The texts in a value as JSON has it, keys not.

    >>> texts_in({"a": ["x", {"b": "y"}], "c": 1})
    ['x', 'y']
    """
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in texts_in(part)]
