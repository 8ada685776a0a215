"""What goes into the JSON API about artifacts, in the shapes of Prefect 3's clients."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from orchestrator.artifacts.listing import ArtifactSearch, Order
from orchestrator.artifacts.record import ArtifactRecord
from orchestrator.artifacts.writing import MAX_TYPE, Draft
from orchestrator.server.api.definitions import Offset
from orchestrator.server.api.filters import is_like
from orchestrator.server.api.requests import Filter, Ids, Limit, Model, Names, Text

Key = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,255}$")]
Metadata = Annotated[dict[str, str], Field(max_length=100)]


class ArtifactCreate(Model):
    """An artifact; with a key it is a new version."""

    key: Key | None = None
    type: Annotated[str, Field(min_length=1, max_length=MAX_TYPE)] | None = None
    description: Annotated[str, Field(max_length=100_000)] | None = None
    data: Any = Field(default=None, description="Any JSON; of a table rows, or JSON text of them")
    metadata_: Metadata | None = None
    flow_run_id: Annotated[UUID, Field(strict=False)] | None = None
    task_run_id: Annotated[UUID, Field(strict=False)] | None = None

    def draft(self) -> Draft:
        """As it is left."""
        return Draft(
            type=self.type or "unknown",
            key=self.key,
            description=self.description,
            data=self.data,
            metadata=self.metadata_,
            flow_run_id=self.flow_run_id,
            task_run_id=self.task_run_id,
        )


class ArtifactUpdate(Model):
    """What is to be changed; what is left out stays."""

    data: Any = None
    description: Annotated[str, Field(max_length=100_000)] | None = None
    metadata_: Metadata | None = None


class AnyOf(Filter):
    """One of these."""

    any_: Ids | None = None


class KeyFilter(Filter):
    """One of these, one that holds a text (any case; ``%`` stands for any text), or whether there is one."""

    any_: Names | None = None
    like_: Text | None = None
    exists_: bool | None = None


class TypeFilter(Filter):
    """One of these, and none of those."""

    any_: Names | None = None
    not_any_: Names | None = None


class ArtifactFilter(Filter):
    """Which artifacts."""

    id: AnyOf | None = None
    key: KeyFilter | None = None
    flow_run_id: AnyOf | None = None
    task_run_id: AnyOf | None = None
    type: TypeFilter | None = None

    def fits(self, record: ArtifactRecord) -> bool:
        """Whether a type and a key are wanted."""
        types, like = self.type or TypeFilter(), self.key.like_ if self.key is not None else None
        return (
            (types.any_ is None or record.type in types.any_)
            and (types.not_any_ is None or record.type not in types.not_any_)
            and (like is None or (record.key is not None and is_like(like, record.key)))
        )


class LatestFilter(ArtifactFilter):
    """Which keys, by their newest versions."""

    id: None = None
    latest_id: AnyOf | None = None


class RunIds(Filter):
    """Which runs have left it."""

    id: AnyOf | None = None


class _Sections(Model):
    flow_runs: RunIds | None = None
    task_runs: RunIds | None = None
    flows: None = None
    deployments: None = None

    def search(self, wanted: ArtifactFilter | None, *, latest: bool) -> ArtifactSearch:
        """As ``artifacts.listing`` takes it."""
        given = wanted or ArtifactFilter()
        key = given.key or KeyFilter()
        ids = given.latest_id if isinstance(given, LatestFilter) else given.id
        looks = given.type is not None or key.like_ is not None
        return ArtifactSearch(
            ids=_lower(ids),
            keys=key.any_,
            flow_run_ids=_both(given.flow_run_id, self.flow_runs),
            task_run_ids=_both(given.task_run_id, self.task_runs),
            has_key=key.exists_,
            latest=latest,
            fits=given.fits if looks else None,
        )


def _lower(ids: AnyOf | None) -> list[str] | None:
    return None if ids is None or ids.any_ is None else [one.lower() for one in ids.any_]


def _both(of_artifact: AnyOf | None, of_runs: RunIds | None) -> list[str] | None:
    first, second = _lower(of_artifact), _lower(of_runs.id) if of_runs is not None else None
    if first is None or second is None:
        return second if first is None else first
    return [one for one in first if one in second]


class ArtifactsQuery(_Sections):
    """Which of them; what is left out means all."""

    artifacts: ArtifactFilter | None = None


class ArtifactsList(ArtifactsQuery):
    """Which, in which order, and how many."""

    limit: Limit | None = Field(default=None, description="200 unless given")
    offset: Offset = 0
    sort: Order | None = Field(default=None, description="The newest first")


class LatestQuery(_Sections):
    """Which keys; what is left out means all."""

    artifacts: LatestFilter | None = None


class LatestList(LatestQuery):
    """Which, in which order, and how many."""

    limit: Limit | None = Field(default=None, description="200 unless given")
    offset: Offset = 0
    sort: Order | None = Field(default=None, description="The newest first")


class RowsQuery(Model):
    """Which rows of a table."""

    model_config = ConfigDict(strict=False)

    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    sort: Annotated[str, Field(max_length=500)] | None = Field(default=None, description="Name of a column")
    descending: bool = False
    filter: Text | None = Field(default=None, description="A text that a cell holds, any case")
    column: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="The only column in which the filter looks"
    )
