"""Filters in the shapes of Prefect 3's clients, as conditions on what is listed.

What is left out or ``null`` means all, also under names that are not known here: clients send every field that they
know. A filter that says something and is not known is refused: one that is ignored would show too much.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from orchestrator.server.api.requests import Filter, Ids, Moment, Names, StateType, Text


class NameFilter(Filter):
    """One of these, or one that holds a text (any case; ``%`` stands for any text)."""

    any_: Names | None = None
    like_: Text | None = None

    def fits(self, name: str) -> bool:
        """Whether a name is wanted."""
        return (self.any_ is None or name in self.any_) and (self.like_ is None or is_like(self.like_, name))


class IdFilter(Filter):
    """One of these, and none of those."""

    any_: Ids | None = None
    not_any_: Ids | None = None

    def fits(self, key: str | None) -> bool:
        """Whether an id is wanted."""
        return (self.any_ is None or key in self.any_) and (self.not_any_ is None or key not in self.not_any_)


class IdOrNoneFilter(Filter):
    """One of these, or none at all."""

    any_: Ids | None = None
    is_null_: bool | None = None

    def fits(self, key: str | None) -> bool:
        """Whether an id is wanted."""
        return (self.any_ is None or key in self.any_) and (self.is_null_ is None or (key is None) is self.is_null_)


class TagsFilter(Filter):
    """All of these, one of those, or none at all."""

    all_: Names | None = None
    any_: Names | None = None
    is_null_: bool | None = None

    def fits(self, tags: Iterable[str]) -> bool:
        """Whether something with these tags is wanted."""
        has = set(tags)
        return (
            (self.all_ is None or set(self.all_) <= has)
            and (self.any_ is None or bool(set(self.any_) & has))
            and (self.is_null_ is None or (not has) is self.is_null_)
        )


class BoolFilter(Filter):
    """This value."""

    eq_: bool | None = None

    def fits(self, value: bool) -> bool:
        """Whether it is wanted."""
        return self.eq_ is None or value is self.eq_


class MomentFilter(Filter):
    """Between two moments, or whether there is one."""

    after_: Moment | None = None
    before_: Moment | None = None
    is_null_: bool | None = None

    def fits(self, moment: datetime | None) -> bool:
        """Whether a moment is wanted."""
        if self.is_null_ is not None and (moment is None) is not self.is_null_:
            return False
        after = self.after_ is None or (moment is not None and moment >= self.after_)
        return after and (self.before_ is None or (moment is not None and moment <= self.before_))


Types = Annotated[list[StateType], Field(max_length=20)]


class StateTypes(Filter):
    """One of these types, and none of those."""

    any_: Types | None = None
    not_any_: Types | None = None


class StateNames(Filter):
    """One of these names, and none of those; any case."""

    any_: Names | None = None
    not_any_: Names | None = None


class FlowRunStateFilter(Filter):
    """By type and name; both have to fit, as in Prefect."""

    type: StateTypes | None = None
    name: StateNames | None = None

    def fits(self, type_: str, name: str) -> bool:
        """Whether a state is wanted."""
        types, names = self.type or StateTypes(), self.name or StateNames()
        return (
            (types.any_ is None or type_ in types.any_)
            and (types.not_any_ is None or type_ not in types.not_any_)
            and (names.any_ is None or name.lower() in _lower(names.any_))
            and (names.not_any_ is None or name.lower() not in _lower(names.not_any_))
        )


def _lower(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}


class FlowFilter(Filter):
    """Which flows."""

    id: IdFilter | None = None
    name: NameFilter | None = None
    deployment: IdOrNoneFilter | None = Field(default=None, description="`is_null_`: whether it has no deployment")


class DeploymentFilter(Filter):
    """Which deployments."""

    id: IdFilter | None = None
    name: NameFilter | None = None
    flow_or_deployment_name: NameFilter | None = None
    paused: BoolFilter | None = None
    tags: TagsFilter | None = None
    work_queue_name: NameFilter | None = None

    def fits(self, record: Any) -> bool:
        """Whether a :class:`~orchestrator.deployments.record.DeploymentRecord` is wanted."""
        either = self.flow_or_deployment_name
        return (
            (self.id is None or self.id.fits(record.id))
            and (self.name is None or self.name.fits(record.name))
            and (either is None or either.fits(record.name) or either.fits(record.flow_name))
            and (self.paused is None or self.paused.fits(record.paused))
            and (self.tags is None or self.tags.fits(record.tags))
            and (self.work_queue_name is None or self.work_queue_name.fits(record.work_queue_name or ""))
        )


class WorkPoolFilter(Filter):
    """Which work pools."""

    name: NameFilter | None = None


class FlowRunFilter(Filter):
    """Which flow runs."""

    id: IdFilter | None = None
    name: NameFilter | None = None
    tags: TagsFilter | None = None
    deployment_id: IdOrNoneFilter | None = None
    state: FlowRunStateFilter | None = None
    start_time: MomentFilter | None = None
    end_time: MomentFilter | None = None
    expected_start_time: MomentFilter | None = None
    next_scheduled_start_time: MomentFilter | None = None
    parent_flow_run_id: IdOrNoneFilter | None = None

    def fits(self, run: Any) -> bool:
        """Whether a :class:`~orchestrator.server.view_models.FlowRunView` is wanted."""
        waits = run.expected if run.state_type == "SCHEDULED" else None
        moments = (
            (self.start_time, run.started),
            (self.end_time, run.ended),
            (self.expected_start_time, run.expected or run.created),
            (self.next_scheduled_start_time, waits),
        )
        return (
            (self.id is None or self.id.fits(run.id))
            and (self.name is None or self.name.fits(run.name))
            and (self.tags is None or self.tags.fits(run.tags))
            and (self.deployment_id is None or self.deployment_id.fits(run.deployment_id))
            and (self.state is None or self.state.fits(run.state_type, run.state_name))
            and (self.parent_flow_run_id is None or self.parent_flow_run_id.fits(run.parent_flow_run_id))
            and all(wanted is None or wanted.fits(moment) for wanted, moment in moments)
        )


def is_like(pattern: str, text: str) -> bool:
    """Whether a text holds another, any case; ``%`` and ``_`` are as in SQL.

    >>> is_like("night", "Nightly ETL"), is_like("n%etl", "Nightly ETL"), is_like("week", "Nightly ETL")
    (True, True, False)
    """
    parts = re.split("([%_])", pattern)
    regex = "".join({"%": ".*?", "_": "."}.get(part, re.escape(part)) for part in parts)
    return re.search(regex, text, re.IGNORECASE | re.DOTALL) is not None
