"""How long a large table of an artifact takes: written, a page of it, sorted by a column, filtered.

``python -m benchmarks.artifacts [ROWS]`` prints the best and the median of some rounds on a private server.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from orchestrator.artifacts import create_table_artifact
from orchestrator.artifacts.paging import Wanted, page_of
from orchestrator.artifacts.reading import read_many
from orchestrator.client.fleet import current_fleet
from orchestrator.testing import private_fleet

ROUNDS = 5


def timed(what: str, do: Callable[[int], Any]) -> list[Any]:
    """Do it some times, and print how long it took; what it made."""
    seconds, made = [], []
    for number in range(ROUNDS):
        began = time.perf_counter()
        made.append(do(number))
        seconds.append(time.perf_counter() - began)
    print(f"{what:<32} best {min(seconds) * 1e3:9.1f} ms   median {statistics.median(seconds) * 1e3:9.1f} ms")
    return made


def main() -> None:
    """Measure, and print."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    table = [
        {"id": n, "name": f"Customer {n}", "sum": n * 1.25, "town": f"Town {n % 97}", "open": n % 3 == 0}
        for n in range(rows)
    ]
    with private_fleet():
        broker = current_fleet().broker
        ids = timed(f"{rows:,} rows x 5 written", lambda _: create_table_artifact(table))
        records = [record for record in read_many(broker, [str(one) for one in ids]) if record is not None]
        stored = sum(len(chunk or b"") for chunk in broker.artifacts.chunks(str(ids[0]), range(records[0].chunks)))
        print(f"kept in {records[0].chunks:,} chunks, {stored / 1e6:.1f} MB")

        def page(first: int, **wanted: Any) -> Callable[[int], Any]:
            return lambda number: page_of(broker, records[number], first, 50, Wanted(**wanted))

        timed("a page of 50 in the middle", page(rows // 2))
        timed("page 1 sorted by a number", page(0, column=2, descending=True))
        timed("page 2 of that", page(50, column=2, descending=True))
        timed("page 1 sorted by a text", page(0, column=1))
        timed("page 1 of those with a text", page(0, text="town 42"))


if __name__ == "__main__":
    main()
