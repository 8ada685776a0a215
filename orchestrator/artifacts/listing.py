"""Finding artifacts: by what they have, the newest first, or in another order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

from brokers.base import Broker
from orchestrator.artifacts.reading import read_many
from orchestrator.artifacts.record import ArtifactRecord

Order = Literal["CREATED_DESC", "UPDATED_DESC", "ID_DESC", "KEY_DESC", "KEY_ASC"]
_AT_ONCE: Final = 1_000
_AS_LISTED: Final = ("CREATED_DESC", "ID_DESC")


@dataclass(frozen=True, slots=True)
class ArtifactSearch:
    """Which artifacts; what is ``None`` says nothing.

    Attributes:
        ids, keys, flow_run_ids, task_run_ids: one of these.
        has_key: whether it has a key.
        latest: only the newest version of each key.
        fits: whether one is wanted, for whatever else there is to say; sees it without its data.
    """

    ids: Sequence[str] | None = None
    keys: Sequence[str] | None = None
    flow_run_ids: Sequence[str] | None = None
    task_run_ids: Sequence[str] | None = None
    has_key: bool | None = None
    latest: bool = False
    fits: Callable[[ArtifactRecord], bool] | None = None

    @property
    def says_nothing(self) -> bool:
        """Whether all that are listed are wanted, so that nobody has to look at them."""
        narrow = (self.ids, self.keys, self.flow_run_ids, self.task_run_ids, self.fits)
        return all(one is None for one in narrow) and (self.has_key is not False)

    def wants(self, record: ArtifactRecord) -> bool:
        """Whether one is wanted, as far as its record says."""
        of = ((self.flow_run_ids, record.flow_run_id), (self.task_run_ids, record.task_run_id))
        return (
            (self.ids is None or str(record.id) in self.ids)
            and (self.keys is None or record.key in self.keys)
            and all(ids is None or (run is not None and str(run) in ids) for ids, run in of)
            and (self.has_key is None or (record.key is not None) is self.has_key)
            and (self.fits is None or self.fits(record))
        )


def find(
    broker: Broker, search: ArtifactSearch, order: Order = "CREATED_DESC", offset: int = 0, limit: int = 200
) -> list[ArtifactRecord]:
    """Artifacts that fit, without their data. Raises BrokerError.

    The newest first: nothing is read beyond the last one that is wanted. In another order: all that fit.
    """
    if search.says_nothing and order in _AS_LISTED:
        page = read_many(broker, _page(broker, search, offset, limit), with_data=False)
        return [record for record in page if record is not None]
    found = _fitting(broker, search)
    if order not in _AS_LISTED:
        found = iter(sorted(found, key=_ORDERS[order], reverse=order.endswith("_DESC")))
    elif search.ids or search.keys or search.flow_run_ids or search.task_run_ids:
        found = iter(sorted(found, key=lambda record: record.created, reverse=True))
    return list(islice(found, offset, offset + limit))


def count(broker: Broker, search: ArtifactSearch) -> int:
    """How many fit. Raises BrokerError."""
    if search.says_nothing:
        return _size(broker, search)
    return sum(1 for _ in _fitting(broker, search))


_ORDERS: Final[dict[str, Callable[[ArtifactRecord], Any]]] = {
    "UPDATED_DESC": lambda record: record.updated,
    "KEY_DESC": lambda record: (record.key or "", record.created),
    "KEY_ASC": lambda record: (record.key or "", -record.created.timestamp()),
}


def _page(broker: Broker, search: ArtifactSearch, offset: int, limit: int) -> list[str]:
    """Ids of a list in the order in which the store has it."""
    if search.latest:
        return [newest for _, newest in broker.artifacts.keys(offset, limit)[1]]
    return broker.artifacts.newest(offset, limit, key="" if search.has_key else None)[1]


def _size(broker: Broker, search: ArtifactSearch) -> int:
    if search.latest:
        return broker.artifacts.keys(0, 0)[0]
    return broker.artifacts.newest(0, 0, key="" if search.has_key else None)[0]


def _fitting(broker: Broker, search: ArtifactSearch) -> Iterator[ArtifactRecord]:
    for ids in _candidates(broker, search):
        for record in read_many(broker, ids, with_data=False):
            if record is not None and search.wants(record):
                yield record


def _candidates(broker: Broker, search: ArtifactSearch) -> Iterator[list[str]]:
    """Ids that may fit, by the narrowest list that there is; each once."""
    if search.latest and search.keys is None:
        yield from _portions(lambda first: [one for _, one in broker.artifacts.keys(first, _AT_ONCE)[1]])
    elif search.latest:
        newest = [broker.artifacts.newest(0, 1, key=key)[1] for key in dict.fromkeys(search.keys or ()) if key]
        yield [one for ids in newest for one in ids]
    elif search.ids is not None:
        yield list(dict.fromkeys(search.ids))
    elif search.keys is not None:
        yield _all_of([broker.artifacts.newest(0, 10_000, key=key)[1] for key in search.keys if key])
    elif (runs := search.flow_run_ids or search.task_run_ids) is not None:
        yield _all_of([broker.artifacts.newest(0, 10_000, run_id=run)[1] for run in runs])
    else:
        key = "" if search.has_key else None
        yield from _portions(lambda first: broker.artifacts.newest(first, _AT_ONCE, key=key)[1])


def _all_of(lists: Sequence[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(one for ids in lists for one in ids))


def _portions(read: Callable[[int], list[str]]) -> Iterator[list[str]]:
    """Pages of a list of which others add to the beginning meanwhile: what was seen is not seen again."""
    seen: set[str] = set()
    first = 0
    while page := read(first):
        first += len(page)
        yield [one for one in page if one not in seen]
        seen.update(page)
