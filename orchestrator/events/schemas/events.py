"""``Event`` and what it is about. Follows Prefect 3 (``prefect.events.schemas.events``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, RootModel, model_validator

from orchestrator.events.names import RESOURCE_ID, RESOURCE_NAME, RESOURCE_ROLE, as_prefect, fits
from orchestrator.runs.run_ids import new_run_id

MOST_LABELS: Final = 500
MOST_RELATED: Final = 100
LONGEST_NAME: Final = 1024


def _with_stored_names(labels: Any) -> Any:
    """``orchestrator.resource.id`` is ``prefect.resource.id``."""
    if isinstance(labels, Resource):
        return labels.root
    return {as_prefect(str(key)): value for key, value in labels.items()} if isinstance(labels, Mapping) else labels


class Resource(RootModel[dict[str, str]]):
    """Something that events happen to, as labels; ``prefect.resource.id`` is one of them.

    Raises:
        ValueError: there is no id, or there are more than 500 labels.

    >>> Resource({"prefect.resource.id": "shop.order.7", "prefect.resource.name": "Order 7"}).name
    'Order 7'
    """

    @model_validator(mode="before")
    @classmethod
    def _named(cls, labels: Any) -> Any:
        return _with_stored_names(labels)

    @model_validator(mode="after")
    def _has_an_id(self) -> Resource:
        if len(self.root) > MOST_LABELS:
            raise ValueError(f"a resource has {MOST_LABELS} labels at most, not {len(self.root)}")
        if not self.root.get(RESOURCE_ID):
            raise ValueError(f"a resource needs the label {RESOURCE_ID}, such as 'shop.order.7'")
        return self

    @property
    def id(self) -> str:
        """What distinguishes it from others, such as ``prefect.flow-run.<uuid>``."""
        return self.root[RESOURCE_ID]

    @property
    def name(self) -> str | None:
        """What people call it."""
        return self.root.get(RESOURCE_NAME)

    def prefect_object_id(self, kind: str) -> UUID:
        """The UUID of one of ours.

        Args:
            kind: such as ``prefect.flow-run``.

        Raises:
            ValueError: it is something else.

        >>> Resource({"prefect.resource.id": "prefect.flow.0199f1c2-0000-7000-8000-0000000004d2"}).prefect_object_id(
        ...     "orchestrator.flow"
        ... )
        UUID('0199f1c2-0000-7000-8000-0000000004d2')
        """
        prefix = as_prefect(kind).rstrip(".") + "."
        if not self.id.startswith(prefix):
            raise ValueError(f"{self.id!r} is no {prefix[:-1]}")
        return UUID(self.id[len(prefix) :])

    def get(self, label: str, default: str | None = None) -> str | None:
        """A label's value."""
        return self.root.get(as_prefect(label), default)

    def has_all_labels(self, labels: Mapping[str, str]) -> bool:
        """Whether it has these labels with these values."""
        return all(self.get(label) == value for label, value in labels.items())

    def keys(self) -> Iterable[str]:
        """The labels."""
        return self.root.keys()

    def items(self) -> Iterable[tuple[str, str]]:
        """Labels with their values."""
        return self.root.items()

    def __getitem__(self, label: str) -> str:
        return self.root[as_prefect(label)]

    def __contains__(self, label: str) -> bool:
        return as_prefect(label) in self.root

    def __len__(self) -> int:
        return len(self.root)


class RelatedResource(Resource):
    """Something that an event has to do with, in a role (``prefect.resource.role``): flow, deployment, tag, ..."""

    @model_validator(mode="after")
    def _has_a_role(self) -> RelatedResource:
        if not self.root.get(RESOURCE_ROLE):
            raise ValueError(f"a related resource needs the label {RESOURCE_ROLE}, such as 'flow'")
        return self

    @property
    def role(self) -> str:
        """What it is to the event."""
        return self.root[RESOURCE_ROLE]


def _few(related: list[RelatedResource]) -> list[RelatedResource]:
    if len(related) > MOST_RELATED:
        raise ValueError(f"an event has {MOST_RELATED} related resources at most, not {len(related)}")
    return related


def _in_utc(moment: datetime) -> datetime:
    """One without a zone is in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _new_id() -> UUID:
    return UUID(new_run_id())


class Event(BaseModel):
    """Something that happened to a resource.

    Attributes:
        occurred: when.
        event: its name, such as ``prefect.flow-run.Failed`` or ``shop.order.paid``.
        resource: what it happened to.
        related: what has to do with it.
        payload: whatever else is known of it.
        id: who writes the same event twice gives it the same id.
        follows: id of the event that came before.

    >>> Event(event="shop.order.paid", resource={"prefect.resource.id": "shop.order.7"}).resource.id
    'shop.order.7'
    """

    model_config = ConfigDict(extra="ignore")

    occurred: Annotated[datetime, AfterValidator(_in_utc)] = Field(default_factory=lambda: datetime.now(UTC))
    event: Annotated[str, BeforeValidator(lambda name: as_prefect(name) if isinstance(name, str) else name)] = Field(
        min_length=1, max_length=LONGEST_NAME
    )
    resource: Resource
    related: Annotated[list[RelatedResource], AfterValidator(_few)] = Field(default_factory=list)
    payload: dict[str, Any] = Field(default_factory=dict)
    id: UUID = Field(default_factory=_new_id)
    follows: UUID | None = None

    @property
    def involved_resources(self) -> Sequence[Resource]:
        """Its resource, then the related ones."""
        return [self.resource, *self.related]

    @property
    def resource_in_role(self) -> Mapping[str, RelatedResource]:
        """The first related resource in each role."""
        return {related.role: related for related in reversed(self.related)}

    @property
    def resources_in_role(self) -> Mapping[str, Sequence[RelatedResource]]:
        """The related resources in each role."""
        found: dict[str, list[RelatedResource]] = {}
        for related in self.related:
            found.setdefault(related.role, []).append(related)
        return found

    def find_resource_label(self, label: str) -> str | None:
        """The value of a label of its resource; of a related one for ``related:<role>:<label>``.

        >>> event = Event(
        ...     event="a.b",
        ...     resource={"prefect.resource.id": "a.1"},
        ...     related=[{"prefect.resource.id": "f.1", "prefect.resource.role": "flow", "owner": "me"}],
        ... )
        >>> event.find_resource_label("related:flow:owner"), event.find_resource_label("owner")
        ('me', None)
        """
        directive, _, rest = label.partition(":")
        if directive != "related":
            return self.resource.get(label)
        role, _, name = rest.partition(":")
        return next((related.get(name) for related in self.related if related.role == role), None)


class ReceivedEvent(Event):
    """An event as the store gives it back; ``received`` is when it came there."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)

    received: Annotated[datetime, AfterValidator(_in_utc)]


class ResourceSpecification(RootModel[dict[str, str | list[str]]]):
    """Which resources are meant: each label with a pattern, or a list of which one fits.

    In a pattern ``*`` at the end stands for anything, ``!`` at the start denies it. Without labels it means all.

    >>> meant = ResourceSpecification({"prefect.resource.id": "orchestrator.flow-run.*"})
    >>> meant.matches(Resource({"prefect.resource.id": "prefect.flow-run.7"}))
    True
    """

    @model_validator(mode="before")
    @classmethod
    def _named(cls, labels: Any) -> Any:
        return _with_stored_names(labels)

    def matches_every_resource(self) -> bool:
        """Whether it has no labels."""
        return not self.root

    def matches_every_resource_of_kind(self, prefix: str) -> bool:
        """Whether it means all resources of a kind, such as ``prefect.flow-run``."""
        if self.matches_every_resource():
            return True
        wanted = f"{as_prefect(prefix)}.*"
        return list(self.root) == [RESOURCE_ID] and any(as_prefect(one) == wanted for one in self[RESOURCE_ID])

    def includes(self, candidates: Iterable[Resource | Mapping[str, str]]) -> bool:
        """Whether one of these is meant."""
        return self.matches_every_resource() or any(self.matches(candidate) for candidate in candidates)

    def matches(self, resource: Resource | Mapping[str, str]) -> bool:
        """Whether this one is meant."""
        return all(any(fits(one, resource.get(label)) for one in wanted) for label, wanted in self.items())

    def items(self) -> Iterator[tuple[str, list[str]]]:
        """Labels with their patterns."""
        return ((label, self[label]) for label in self.root)

    def get(self, label: str, default: str | list[str] | None = None) -> list[str]:
        """The patterns of a label."""
        found = self.root.get(as_prefect(label), default) or []
        return [found] if isinstance(found, str) else found

    def __getitem__(self, label: str) -> list[str]:
        return self.get(label)

    def __contains__(self, label: str) -> bool:
        return as_prefect(label) in self.root

    def __len__(self) -> int:
        return len(self.root)
