"""Single calls that are sent at the same moment become blocks, and each stays its sender's own."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from brokers.block_ids import LARGEST_BODY, LEAST_IN_BLOCK, MOST_IN_BLOCK, member_ids
from brokers.errors import BrokerRefused, BrokerUnavailable, QueueFull
from brokers.messages import Envelope
from brokers.sender import Sender
from orchestrator.runs.run_ids import new_block, new_run_id
from tests.support.senders import Senders, Store, block_of, envelope, rebound
from tests.support.waiting import wait_until


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def sender(store: Store) -> Sender:
    return Sender(store.submit, new_block=new_block)


@pytest.fixture
def senders(store: Store, sender: Sender) -> Senders:
    return Senders(store, sender)


def test_calls_of_one_frame_get_ids_of_one_block_and_go_around_one_frame(store: Store, senders: Senders) -> None:
    calls = [envelope(number) for number in range(20)]
    sent = senders.send(calls)
    senders.go()
    assert [list(one.result()) for one in sent] == [[run_id] for run_id in store.ids(1)]
    block_of(store.ids(1))
    assert [call.body for call in store.trips[1]] == [call.body for call in calls]
    assert store.framed == [False, True]
    assert store.ids(0) == senders.first.result()
    assert store.ids(0)[0][14] == "7"  # who sends alone has a record


@pytest.mark.parametrize(
    "other",
    [
        {"task": "app.other"},
        {"route": "default:hs"},
        {"flow_run_id": new_run_id()},
        {"reply_to": "inbox"},
        {"meta": b"\x80"},
        {"extras": {"y": "3"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_calls_of_another_frame_have_a_block_of_their_own(
    store: Store, senders: Senders, other: dict[str, Any]
) -> None:
    sent = senders.send([envelope(number, **(other if number % 2 else {})) for number in range(12)])
    senders.go()
    ids = store.ids(1)
    assert block_of(ids[:6]) != block_of(ids[6:])
    assert [one.result()[0] for one in sent] == [ids[number // 2 + 6 * (number % 2)] for number in range(12)]
    assert [call.body for call in store.trips[1]] == [
        b"%d" % number for number in (0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11)
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"extras": {"d": 1000}},
        {"extras": {"i": ["key", 1]}},
        {"extras": {"r": [("x", False)]}},
        {"body": b"x" * (LARGEST_BODY + 1)},
        {"task": "flow:shop.nightly"},
    ],
    ids=["delayed", "with a key", "behind another", "large", "a flow run"],
)
def test_calls_that_fit_in_no_block_keep_their_ids(store: Store, senders: Senders, other: dict[str, Any]) -> None:
    calls = [envelope(number, **other) for number in range(6)]
    sent = senders.send(calls)
    senders.go()
    assert [one.result()[0] for one in sent] == [call.run_id for call in calls] == store.ids(1)


def test_calls_whose_ids_are_not_free_keep_them(store: Store, senders: Senders) -> None:
    calls = [envelope(number) for number in range(6)]
    sent = senders.send(calls, free=False)
    senders.go()
    assert [one.result()[0] for one in sent] == [call.run_id for call in calls]


def test_calls_of_blocks_that_two_threads_have_open_are_brought_together(store: Store, senders: Senders) -> None:
    mine, other = member_ids(new_block(), 6), member_ids(new_block(), 6)
    behind = [envelope(number, extras={"r": [(mine[0], False)]}) for number in range(2)]
    in_turn = itertools.chain.from_iterable(zip(mine, other, strict=True))
    calls = [envelope(number, run_id=run_id) for number, run_id in enumerate(in_turn)]
    senders.send([*calls[:5], behind[0], *calls[5:], behind[1]], free=False)
    senders.go()
    assert store.ids(1) == [*mine, *other, *(call.run_id for call in behind)]


def test_few_calls_are_cheaper_as_records(store: Store, senders: Senders) -> None:
    calls = [envelope(number) for number in range(LEAST_IN_BLOCK - 1)]
    sent = senders.send(calls)
    senders.go()
    assert [one.result()[0] for one in sent] == [call.run_id for call in calls]


def test_nothing_is_grouped_for_a_broker_without_blocks(store: Store) -> None:
    senders = Senders(store, Sender(store.submit))
    calls = [envelope(number) for number in range(6)]
    sent = senders.send(calls)
    senders.go()
    assert [one.result()[0] for one in sent] == [call.run_id for call in calls]


def test_more_than_a_block_holds_are_several(store: Store, senders: Senders) -> None:
    calls = [envelope(number) for number in range(MOST_IN_BLOCK + 6)]
    senders.send(calls)
    senders.go()
    ids = store.ids(1)
    assert block_of(ids[:MOST_IN_BLOCK]) != block_of(ids[MOST_IN_BLOCK:])


def test_one_that_is_refused_fails_alone(store: Store, senders: Senders) -> None:
    store.refuses.add(b"3")
    sent = senders.send([envelope(number) for number in range(6)])
    senders.go()
    together = store.ids(1)
    for number, one in enumerate(sent):
        if number == 3:
            with pytest.raises(BrokerRefused, match="not this one"):
                one.result()
        else:
            assert one.result() == [together[number]]  # the id under which it may be there already
    assert len(store.trips) == 8


def test_each_gets_its_own_id_of_an_error_that_leaves_it_open(store: Store, senders: Senders) -> None:

    def lose(envelopes: Sequence[Envelope]) -> list[str]:
        lost = BrokerUnavailable("gone")
        lost.reply_lost = True
        lost.doubtful_run_ids = tuple(one.run_id for one in envelopes)
        raise lost

    sent = senders.send([envelope(number) for number in range(6)])
    senders.sender._trips._submit = lose
    senders.go()
    errors: list[Any] = [one.exception() for one in sent]
    doubtful = [error.doubtful_run_ids for error in errors]
    assert [len(run_ids) for run_ids in doubtful] == [1] * 6
    block_of([run_ids[0] for run_ids in doubtful])


class Interruption(BaseException):
    """Raised in a thread by another one."""


def test_calls_whose_trip_was_interrupted_are_sent_again_under_the_same_ids(store: Store, senders: Senders) -> None:
    store.errors.append(Interruption())
    sent = senders.send([envelope(number) for number in range(6)])
    senders.go()
    outcomes = [one.exception() or one.result()[0] for one in sent]
    ids = store.ids(1)
    assert store.ids(2) == ids
    block_of(ids)
    assert sum(isinstance(one, Interruption) for one in outcomes) == 1
    got = [one for one in outcomes if not isinstance(one, Interruption)]
    assert got == [run_id for run_id in ids if run_id in got]
    assert len(got) == 5


def test_a_call_that_was_given_up_keeps_the_id_that_its_sender_was_given(store: Store) -> None:
    """Its time was over when others were about to send it: the error says under which id it may be there."""
    entered, go_on = threading.Event(), threading.Event()
    sender = Sender(store.submit, new_block=new_block)
    make = sender._trips.make

    def late(parcels: Sequence[Any]) -> None:
        entered.set()
        assert go_on.wait(20)
        make(parcels)

    senders = Senders(store, sender)
    sender._trips.make = late  # type: ignore[method-assign]
    calls = [envelope(number) for number in range(6)]
    sent = senders.send(calls)
    parcel = sender._waiting[2]
    store.gate.set()
    assert entered.wait(20)
    sender.give_up(parcel)
    go_on.set()
    error: Any = sent[2].exception()
    assert error.doubtful_run_ids == (calls[2].run_id,)
    assert calls[2].run_id in store.ids(1)
    block_of([one.result()[0] for at, one in enumerate(sent) if at != 2])
    senders.pool.shutdown()


def test_a_block_that_is_sent_again_takes_nobody_in(store: Store, senders: Senders) -> None:
    """Its calls may be in the store: who comes later begins another one."""
    store.errors.append(Interruption())
    entered, go_on = threading.Event(), threading.Event()

    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        if len(store.trips) == 2:
            entered.set()
            assert go_on.wait(20)
        return store.submit(envelopes)

    senders.sender._trips._submit = submit
    senders.send([envelope(number) for number in range(6)])
    store.gate.set()
    assert entered.wait(20)  # it was interrupted, and is being sent again
    late = [senders.pool.submit(senders.sender.send, (envelope(number),), rebound) for number in range(10, 16)]
    wait_until(lambda: len(senders.sender._waiting) == 6, message="they wait behind it")
    go_on.set()
    senders.pool.shutdown()
    first = {run_id[:32] for run_id in store.ids(1)}
    assert store.ids(2)[:6] == store.ids(1)
    assert not first & {one.result()[0][:32] for one in late}


def test_a_full_queue_refuses_only_those_who_find_no_room(store: Store, senders: Senders) -> None:
    room = 3
    stored: list[str] = []

    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        if len(stored) + len(envelopes) > room:
            raise QueueFull("the queue default is full")
        stored.extend(one.run_id for one in envelopes)
        return [one.run_id for one in envelopes]

    senders.sender._trips._submit = submit
    sent = senders.send([envelope(number) for number in range(6)])
    senders.go()
    refused = [isinstance(one.exception(), QueueFull) for one in sent]
    assert refused == [False] * 3 + [True] * 3
    assert [one.result()[0] for one in sent[:3]] == stored


def test_a_thread_that_is_interrupted_while_it_waits_leaves_the_turn_to_others(store: Store, senders: Senders) -> None:
    """It would have been the one to send for the others."""
    interrupted: list[BaseException] = []
    ready = threading.Event()

    def send() -> None:
        ready.set()
        try:
            senders.sender.send((envelope(1),), rebound)
        except Interruption as error:
            interrupted.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    wait_until(lambda: len(senders.sender._waiting) == 1)
    others = senders.send([envelope(number) for number in range(2, 6)])
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Interruption))
    senders.go()
    thread.join(10)
    assert [list(one.result()) for one in others] == [[run_id] for run_id in store.ids(1)[1:]]
    assert len(interrupted) == 1
    assert [one.body for one in store.trips[1]] == [b"1", b"2", b"3", b"4", b"5"]  # its own is not lost either


def test_many_threads_send_on_without_losing_a_call() -> None:
    """Turns are handed on while threads come and go; whoever waits is sent, and gets an id that nobody else has."""
    taken: list[str] = []

    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        ids = [one.run_id for one in envelopes]
        taken.extend(ids)
        return ids

    sender = Sender(submit, new_block=new_block)
    got: list[str] = []

    def send() -> None:
        for number in range(200):
            got.extend(sender.send((envelope(number),), rebound))

    threads = [threading.Thread(target=send) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == len(set(got)) == 24 * 200
    assert sorted(got) == sorted(taken)
