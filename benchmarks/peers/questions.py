"""The three questions. Each is put to a system on a rig of its own, and answered by what its tasks have written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from benchmarks.peers.reply_cutter import ReplyCutter
from benchmarks.peers.rig import Rig, System

PATIENCE_SECONDS: Final = 90.0
POISON_SECONDS: Final = 30.0
SETTLING_SECONDS: Final = 5.0
"""How long we look on after the answer is known: a call may be run once more."""
NEIGHBOURS: Final = 20
NEIGHBOUR_SECONDS: Final = 0.2
FINAL: Final = ("done", "failed", "failed, kept in the registry", "dead letter", "crashed")


class Answer(NamedTuple):
    """One cell of the table.

    Attributes:
        runs: how often the call in question was begun.
        seconds: from the fault until it was begun again (poison: until its last run); ``None``: never.
        state: where the call was when we stopped looking, in the system's own terms.
        others: how many other calls have been run, of how many.
        watched_seconds: how long we looked.
        restarts: how often a worker had ended by itself and was started again.
        detail: cut: the command whose reply was cut; poison: what became of the other calls.
    """

    system: str
    settings: str
    question: str
    runs: int
    seconds: float | None
    state: str
    others: tuple[int, int]
    watched_seconds: float
    restarts: int = 0
    detail: str = ""


def cut_fetch_reply(rig: Rig, patience: float = PATIENCE_SECONDS, settling: float = SETTLING_SECONDS) -> Answer:
    """The server has handed the call out, and the connection breaks before the worker hears of it."""
    with ReplyCutter(rig.server.port) as cutter:
        rig.start_worker(cutter.url)
        rig.warm_up()
        with cutter.held():
            call = rig.send("note", "cut", "cut")
            cutter.cut_at(call)
        assert rig.watch(cutter.hit.is_set, 30), "the call was not fetched within 30 s"
        begun = time.time()
        rig.watch(lambda: rig.notes("cut"), patience, beating=True)
        rig.watch(lambda: False, settling)
        return _answer(rig, "cut", call, begun, [note.time for note in rig.notes("cut")], cutter.command)


def kill_worker(rig: Rig, patience: float = PATIENCE_SECONDS, settling: float = SETTLING_SECONDS) -> Answer:
    """All processes of a worker are killed while it runs a call; another worker is there."""
    workers = [rig.start_worker(), rig.start_worker()]
    rig.warm_up()
    call = rig.send("slow", "slow", "slow", 600.0)
    assert rig.watch(lambda: rig.notes("slow"), 30), "the call was not begun within 30 s"
    leader = rig.notes("slow")[0].worker
    for worker in workers:
        if leader in [process.pid for process in worker.processes]:
            worker.kill()
            break
    else:
        raise AssertionError(f"process {leader} is none of the workers'")
    begun = time.time()
    rig.watch(lambda: len(rig.notes("slow")) > 1, patience, beating=True)
    rig.watch(lambda: False, settling)
    return _answer(rig, "kill", call, begun, [note.time for note in rig.notes("slow")])


def poison(rig: Rig, patience: float = POISON_SECONDS, settling: float = SETTLING_SECONDS) -> Answer:
    """A call that kills its process whenever it is run, in the middle of innocent ones."""
    rig.start_worker()
    rig.warm_up()
    begun = time.time()
    neighbours = [_send_neighbour(rig, number) for number in range(NEIGHBOURS // 2)]
    call = rig.send("poison", "poison", "poison")
    neighbours += [_send_neighbour(rig, number) for number in range(NEIGHBOURS // 2, NEIGHBOURS)]

    def over() -> bool:
        return len(_neighbours_run(rig)) == NEIGHBOURS and rig.state(call) in FINAL

    rig.watch(over, patience, beating=True)
    rig.watch(lambda: False, settling)
    runs = [note.time for note in rig.notes("poison")]
    return _answer(rig, "poison", call, begun, runs, _where_the_others_are(rig, neighbours))


def _send_neighbour(rig: Rig, number: int) -> str:
    return rig.send("note", "neighbours", f"neighbour-{number}", NEIGHBOUR_SECONDS)


def _neighbours_run(rig: Rig) -> Counter[str]:
    return Counter(note.text for note in rig.notes("neighbours"))


def _where_the_others_are(rig: Rig, neighbours: list[str]) -> str:
    runs = _neighbours_run(rig)
    missing = [call for number, call in enumerate(neighbours) if f"neighbour-{number}" not in runs]
    told = [f"{count} {state}" for state, count in sorted(Counter(map(rig.state, missing)).items())]
    repeated = sum(count > 1 for count in runs.values())
    return ", ".join(told + ([f"{repeated} run more than once"] if repeated else []))


def _answer(rig: Rig, question: str, call: str, begun: float, runs: list[float], detail: str = "") -> Answer:
    again = [at - begun for at in runs if at > begun]
    others = len({note.text for note in rig.notes("neighbours" if question == "poison" else "beats")})
    return Answer(
        system=rig.system.name,
        settings=rig.system.settings,
        question=question,
        runs=len(runs),
        seconds=round(again[-1 if question == "poison" else 0], 1) if again else None,
        state=rig.state(call),
        others=(others, NEIGHBOURS if question == "poison" else rig.beats),
        watched_seconds=round(time.time() - begun, 1),
        restarts=sum(worker.restarts for worker in rig.workers),
        detail=detail,
    )


QUESTIONS: Final[dict[str, Callable[..., Answer]]] = {"cut": cut_fetch_reply, "kill": kill_worker, "poison": poison}


def ask(system: System, question: str, **options: Any) -> Answer:
    """Put one question to one system."""
    with Rig(system) as rig:
        return QUESTIONS[question](rig, **options)
