"""What several senders wait for goes to the store in one trip; what one of them is refused is nobody else's trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from operator import attrgetter

from brokers.errors import BrokerUnavailable, QueueFull, StoreFull
from brokers.grouping import Grouping, Section
from brokers.messages import Envelope
from brokers.parcel import Parcel, error_for


class Trips:
    """Those of one sender.

    Args:
        submit: sends envelopes and returns their run ids.
        new_block: see :class:`brokers.grouping.Grouping`.
    """

    def __init__(
        self, submit: Callable[[Sequence[Envelope]], Sequence[str]], new_block: Callable[[], str] | None
    ) -> None:
        self._submit = submit
        self._grouping = Grouping(new_block)
        self.naming = self._grouping.naming

    def make(self, parcels: Sequence[Parcel]) -> None:
        """Send these parcels; each has its run ids afterwards, or its error. Raises what interrupts the thread."""
        for some in _trips_of(parcels):
            self._make(some)

    def _make(self, parcels: Sequence[Parcel]) -> None:
        try:
            self._send(parcels)
        except TimeoutError:  # as in :func:`brokers.threads.is_interruption`
            raise
        except Exception as error:
            if len(parcels) > 1 and not isinstance(error, (StoreFull, BrokerUnavailable)):
                self._send_each(parcels)  # one of them is at fault; the others must not suffer
            else:
                for parcel in parcels:
                    parcel.error = error_for(error, parcel) if len(parcels) > 1 else error

    def _send(self, parcels: Sequence[Parcel]) -> None:
        if len(parcels) == 1:
            parcels[0].run_ids = self._submit(parcels[0].envelopes)
            return
        sections = self._grouping.sections(parcels)
        try:
            run_ids = self._submit(_calls_of(sections))
        except BaseException:
            for section in sections:
                section.settle_ids()
            raise
        at = 0
        for section in sections:
            for parcel in section.parcels:
                count = len(parcel.envelopes)
                parcel.run_ids = run_ids[at : at + count]
                at += count

    def _send_each(self, parcels: Sequence[Parcel]) -> None:
        full: dict[str, QueueFull] = {}  # is not asked for each of many calls that wait for room in it
        for parcel in parcels:
            if parcel.queue in full:
                parcel.error = error_for(full[parcel.queue], parcel)
                continue
            try:
                self._send([parcel])
            except Exception as error:
                parcel.error = error
                if isinstance(error, QueueFull):
                    full[parcel.queue] = error


def _trips_of(parcels: Sequence[Parcel]) -> Iterator[Sequence[Parcel]]:
    """In their order, each block by itself: so the store writes it the short way."""
    if len(parcels) == 1:
        yield parcels
        return
    for is_block, some in groupby(parcels, attrgetter("is_block")):
        if is_block:
            yield from ([parcel] for parcel in some)
        else:
            yield list(some)


def _calls_of(sections: list[Section]) -> Sequence[Envelope]:
    if len(sections) == 1:
        return sections[0].calls
    return list(chain.from_iterable(section.calls for section in sections))
