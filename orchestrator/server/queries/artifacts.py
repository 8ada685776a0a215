"""Artifacts: found, read, left, changed and deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from brokers.records import in_portions
from orchestrator.artifacts import listing, paging, reading, writing
from orchestrator.artifacts.images import picture_at
from orchestrator.artifacts.listing import ArtifactSearch, Order
from orchestrator.artifacts.record import ArtifactRecord
from orchestrator.artifacts.tables import table_of
from orchestrator.artifacts.writing import Draft
from orchestrator.errors import SerializationError
from orchestrator.inspection import views_of
from orchestrator.people.rights import NotAllowed
from orchestrator.server.queries.context import QueryContext, page_size

ROWS_OF_ONE: Final = 10_000  # of a table that is asked for by its id
ROWS_IN_LISTS: Final = 100
MAX_VERSIONS: Final = 10_000  # that are looked at for the newest in reach
READ_AT_ONCE: Final = 8  # artifacts with their data, of up to 5 MB each
BYTES_IN_LISTS: Final = 4 * 1024 * 1024  # of data that one list carries


@dataclass(frozen=True, slots=True)
class KeysPage:
    """The newest version of each key that was looked for, the one written last first."""

    artifacts: list[ArtifactRecord]
    total: int


class ArtifactQueries:
    """The artifacts of the fleet. Changes raise ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context
        self._broker = context.fleet.broker

    # -- lists ---------------------------------------------------------------------------------------------------

    def find(self, search: ArtifactSearch, order: Order, offset: int, limit: int) -> list[ArtifactRecord]:
        """Artifacts that fit, with their data as far as one answer carries it."""
        found = listing.find(self._broker, self._seen(search), order, offset, page_size(limit))
        left, filled = BYTES_IN_LISTS, list[ArtifactRecord]()
        for some in in_portions(found, READ_AT_ONCE):
            again = reading.read_many(self._broker, [str(one.id) for one in some]) if left > 0 else some
            for record, full in zip(some, again, strict=True):
                shown = self._filled(full or record, ROWS_IN_LISTS) if left > 0 else _without_data(record)
                left -= len(json.dumps(shown.data)) if shown.data is not None else 0
                filled.append(shown)
        return filled

    def count(self, search: ArtifactSearch) -> int:
        """How many fit."""
        return listing.count(self._broker, self._seen(search))

    def newest_of_keys(self, text: str = "", first: int = 0, limit: int = 50) -> KeysPage:
        """The newest version of each key that holds a text, without data."""
        search = ArtifactSearch(latest=True, fits=(lambda one: text.lower() in (one.key or "")) if text else None)
        found = listing.find(self._broker, self._seen(search), "CREATED_DESC", first, page_size(limit))
        return KeysPage(found, self.count(search))

    def list_all(self, first: int = 0, limit: int = 50) -> list[ArtifactRecord]:
        """Every version and those without a key, the newest first, without data."""
        return listing.find(self._broker, self._seen(ArtifactSearch()), "CREATED_DESC", first, page_size(limit))

    def versions(self, key: str, first: int = 0, limit: int = 100) -> tuple[int, list[ArtifactRecord]]:
        """How many versions a key has, and some of them, the newest first, without data."""
        if self._context.reach is not None:
            search = self._seen(ArtifactSearch(keys=[key]))
            return listing.count(self._broker, search), listing.find(
                self._broker, search, "CREATED_DESC", first, page_size(limit)
            )
        total, ids = self._broker.artifacts.newest(first, page_size(limit), key=key) if key else (0, [])
        return total, _there(reading.read_many(self._broker, ids, with_data=False))

    def of_run(self, run_id: str, limit: int = 50) -> tuple[int, list[ArtifactRecord]]:
        """How many artifacts a run has left, and some of them, the newest first, without data."""
        if not self._context.has_run(run_id):
            return 0, []
        total, ids = self._broker.artifacts.newest(0, page_size(limit), run_id=run_id)
        return total, _there(reading.read_many(self._broker, ids, with_data=False))

    # -- one -----------------------------------------------------------------------------------------------------

    def get(self, artifact_id: str) -> ArtifactRecord | None:
        """One by its id, a table without its rows."""
        return self._if_seen(reading.read_one(self._broker, artifact_id))

    def has_task_run(self, record: ArtifactRecord) -> bool:
        """Whether there is a record of its task run: not of a task that a flow has called directly, or long ago."""
        return record.task_run_id is not None and bool(self._context.views([str(record.task_run_id)]))

    def get_whole(self, artifact_id: str) -> ArtifactRecord | None:
        """One by its id, a table of up to 10,000 rows with them."""
        found = self._if_seen(reading.read_one(self._broker, artifact_id))
        return self._filled(found, ROWS_OF_ONE) if found is not None else None

    def newest_version(self, key: str) -> ArtifactRecord | None:
        """The newest version of a key, as :meth:`get_whole`."""
        if self._context.reach is None:
            found = reading.newest_version(self._broker, key)
        else:
            newest = listing.find(self._broker, self._seen(ArtifactSearch(keys=[key], latest=True)), limit=1)
            found = reading.read_one(self._broker, str(newest[0].id)) if newest else None
        return self._filled(found, ROWS_OF_ONE) if found is not None else None

    def rows(self, record: ArtifactRecord, offset: int, limit: int, wanted: paging.Wanted) -> paging.RowsPage:
        """A page of a table. Raises SerializationError: its rows cannot be read here."""
        return paging.page_of(self._broker, record, offset, limit, wanted)

    def picture(self, record: ArtifactRecord) -> tuple[bytes, str] | None:
        """The bytes of a picture and their content type. Raises SerializationError: it cannot be read here."""
        return reading.picture_of_record(self._broker, record)

    def _filled(self, record: ArtifactRecord, most_rows: int) -> ArtifactRecord:
        try:
            return reading.with_short_table(self._broker, record, most_rows)
        except SerializationError as error:
            return replace(record, trouble="; ".join(filter(None, (record.trouble, str(error)))))

    def _has(self, record: ArtifactRecord) -> bool:
        runs = [str(one) for one in (record.flow_run_id, record.task_run_id) if one is not None]
        return any(self._context.has_run(run_id) for run_id in runs)

    def _if_seen(self, record: ArtifactRecord | None) -> ArtifactRecord | None:
        return record if record is None or self._context.reach is None or self._has(record) else None

    def _seen(self, search: ArtifactSearch) -> ArtifactSearch:
        """A search for those that runs in reach have left; the newest of a key is the newest of these."""
        if self._context.reach is None:
            return search
        if search.latest:
            newest = self._newest_in_reach(search.keys)
            ids = newest if search.ids is None else [one for one in newest if one in search.ids]
            search = replace(search, latest=False, ids=ids)
        fits = search.fits
        return replace(search, fits=lambda one: (fits is None or fits(one)) and self._has(one))

    def _newest_in_reach(self, keys: Sequence[str] | None) -> list[str]:
        """The ids of the newest versions in reach, one of each key."""
        with_keys = ArtifactSearch(keys=keys, has_key=True, fits=self._has)
        found: dict[str, str] = {}
        for one in listing.find(self._broker, with_keys, limit=MAX_VERSIONS):  # the newest first
            found.setdefault(one.key or "", str(one.id))
        return list(found.values())

    def _must_not_be_theirs(self, key: str) -> None:
        """Raises NotAllowed: a version would hide what a run out of reach has left under that key.

        Of runs whose records have expired nobody knows whose they were: their keys are free.
        """
        newest = reading.newest_version(self._broker, key)
        if newest is None or self._has(newest):
            return
        runs = [str(one) for one in (newest.flow_run_id, newest.task_run_id) if one is not None]
        if not runs or any(self._broker.flow_runs.read_many(runs)) or views_of(self._context.fleet, runs):
            raise NotAllowed(
                f"the key {key!r} has versions that are out of the scope of your teams, and a new one would hide them: "
                "take another key"
            )

    # -- changes -------------------------------------------------------------------------------------------------

    def create(self, draft: Draft) -> ArtifactRecord | None:
        """Leave one, as it came over HTTP.

        Raises:
            ValueError: contents that cannot be kept. ObjectNotFound: its run is not in reach.
            NotAllowed: its key is that of somebody else's.
        """
        self._context.must_write()
        runs = [str(one) for one in (draft.flow_run_id, draft.task_run_id) if one is not None]
        self._context.must_reach("such run", bool(runs) and all(self._context.has_run(one) for one in runs))
        if draft.key and self._context.reach is not None:
            self._must_not_be_theirs(draft.key)
        artifact_id = writing.write(self._context.fleet, _as_it_is_kept(draft))
        return self.get_whole(str(artifact_id))

    def change(self, record: ArtifactRecord, changes: Mapping[str, Any]) -> bool:
        """Write ``data``, ``description`` or ``metadata_``; whether it was there.

        Raises:
            ValueError: contents that cannot be kept.
        """
        self._context.must_write()
        return writing.change(self._context.fleet, str(record.id), changes)

    def delete(self, artifact_id: str) -> bool:
        """Forget one; whether there was one."""
        self._context.must_write()
        self._context.must_reach("such artifact", self.get(artifact_id) is not None)
        return writing.delete(self._context.fleet, ids=[artifact_id]) > 0

    def delete_key(self, key: str) -> int:
        """Forget every version of a key; how many there were."""
        self._context.must_write()
        if self._context.reach is not None:  # the versions of others stay
            seen = listing.find(self._broker, self._seen(ArtifactSearch(keys=[key])), limit=10_000)
            return writing.delete(self._context.fleet, ids=[str(one.id) for one in seen]) if seen else 0
        return writing.delete(self._context.fleet, keys=[key])


def _there(records: Sequence[ArtifactRecord | None]) -> list[ArtifactRecord]:
    return [record for record in records if record is not None]


def _without_data(record: ArtifactRecord) -> ArtifactRecord:
    left_out = {"data": f"left out, this list is too large with it: GET /api/artifacts/{record.id}"}
    return replace(record, data=None, metadata_={**(record.metadata_ or {}), **left_out})


def _as_it_is_kept(draft: Draft) -> Draft:
    """Tables become rows and pictures in data URLs bytes; a path is never read here."""
    data = draft.data
    if draft.type == "image" and isinstance(data, str) and data.startswith("data:"):
        return replace(draft, data=None, picture=picture_at(data))
    if draft.type != "table":
        return draft
    table = data
    if isinstance(data, str):
        try:
            table = json.loads(data)
        except (ValueError, RecursionError):
            return draft
    try:
        return replace(draft, data=None, table=table_of(table))
    except TypeError:  # clients may call anything a table
        return draft


def is_id(text: str) -> bool:
    """Whether a text is a UUID, as ids are.

    >>> is_id("0191d5e0-0000-7000-8000-000000000000"), is_id("daily-report")
    (True, False)
    """
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
