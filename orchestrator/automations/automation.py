"""``Automation``: what is to be done when something happens. Follows Prefect 3 (``prefect.automations``)."""

from __future__ import annotations

import asyncio
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from orchestrator.automations import editing
from orchestrator.automations.lookup import find_automation
from orchestrator.automations.record import AutomationRecord
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import SerializationError
from orchestrator.events.schemas.automations import AutomationCore


class Automation(AutomationCore):
    """An automation: when its trigger fires, its actions are done, each as a call with retries of its own.

    On an event loop the methods return awaitables; their twins ``acreate``, ``aread``, ... always do.

    Attributes:
        id: once it is in the store.

    Raises:
        pydantic.ValidationError: a trigger or an action cannot be one; a ValueError.

    >>> from orchestrator.events.actions import CancelFlowRun
    >>> from orchestrator.events.schemas.automations import EventTrigger
    >>> from orchestrator.testing import inline
    >>> with inline():
    ...     slow = EventTrigger(expect={"prefect.flow-run.Late"})
    ...     made = Automation(name="late runs", trigger=slow, actions=[CancelFlowRun()]).create()
    ...     Automation.read(name="late runs").id == made.id
    True
    """

    id: UUID | None = Field(default=None)

    @async_dispatch("acreate")
    def create(self) -> Self:
        """Write it to the store; repeated, it is the same one.

        Raises:
            BrokerConflict: another one has the name.
            ObjectNotFound: something that its actions name is not there, such as a block.
            ValueError: a template cannot be one. BrokerError: the store does not answer.
        """
        return self._become(editing.create_automation(current_fleet(), self.core()))

    async def acreate(self) -> Self:
        """:meth:`create` for event loops."""
        return self._become(await asyncio.to_thread(editing.create_automation, current_fleet(), self.core()))

    @classmethod
    @async_dispatch("aread")
    def read(cls, id: UUID | str | None = None, name: str | None = None) -> Self:
        """The automation of an id or a name.

        Raises:
            AutomationNotFound: there is none; an ObjectNotFound and a ValueError.
            ValueError: both are given, or neither. BrokerError: the store does not answer.
        """
        return cls._read(id, name)

    @classmethod
    async def aread(cls, id: UUID | str | None = None, name: str | None = None) -> Self:
        """:meth:`read` for event loops."""
        return await asyncio.to_thread(cls._read, id, name)

    @async_dispatch("aupdate")
    def update(self) -> Self:
        """Write what it is now. Raises AutomationNotFound, and as :meth:`create`."""
        return self._update()

    async def aupdate(self) -> Self:
        """:meth:`update` for event loops."""
        return await asyncio.to_thread(self._update)

    @async_dispatch("adelete")
    def delete(self) -> bool:
        """Forget it; whether it was there. Raises BrokerError."""
        return self._delete()

    async def adelete(self) -> bool:
        """:meth:`delete` for event loops."""
        return await asyncio.to_thread(self._delete)

    @async_dispatch("aenable")
    def enable(self) -> bool:
        """Look at it again, from now on; whether that changed. Raises AutomationNotFound, BrokerError."""
        return self._switch(True)

    async def aenable(self) -> bool:
        """:meth:`enable` for event loops."""
        return await asyncio.to_thread(self._switch, True)

    @async_dispatch("adisable")
    def disable(self) -> bool:
        """Do not look at it until it is enabled. Raises AutomationNotFound, BrokerError."""
        return self._switch(False)

    async def adisable(self) -> bool:
        """:meth:`disable` for event loops."""
        return await asyncio.to_thread(self._switch, False)

    # -- between the two -----------------------------------------------------------------------------------------

    def core(self) -> AutomationCore:
        """Without its id."""
        return AutomationCore(**{name: getattr(self, name) for name in AutomationCore.model_fields})

    @classmethod
    def _read(cls, id: UUID | str | None, name: str | None) -> Self:
        if (id is None) == (name is None):
            raise ValueError("give one of id and name")
        return cls._of(find_automation(current_fleet().broker, id if id is not None else name))

    def _update(self) -> Self:
        return self._become(editing.update_automation(current_fleet(), self._known_id(), self.core()))

    def _delete(self) -> bool:
        return bool(editing.delete_automations(current_fleet(), [self._known_id()]))

    def _switch(self, on: bool) -> bool:
        changed = editing.switch_automation(current_fleet(), self._known_id(), on)
        self.enabled = on
        return changed

    def _known_id(self) -> str:
        if self.id is None:
            raise ValueError(f"the automation {self.name!r} has no id: create() or read() it first")
        return str(self.id)

    def _become(self, record: AutomationRecord) -> Self:
        self.id = UUID(record.id)
        return self

    @classmethod
    def _of(cls, record: AutomationRecord) -> Self:
        if record.core is None:
            raise SerializationError(f"automation {record.name!r} cannot be read: {record.trouble}")
        facts: dict[str, Any] = {name: getattr(record.core, name) for name in AutomationCore.model_fields}
        return cls(id=UUID(record.id), **facts)
