"""What this machine and its server can do at most: the same loop, bare.

A prototype without promises that are not about speed: records and stream entries are written by a pipeline, two
processes read batches and settle each with one small script, a client reads the outcomes from one stream. No leases, no
retries, no types. Run as ``python -m benchmarks.limit WHERE NAME`` it is one of the two workers.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgpack
import redis

ROOT: Final = Path(__file__).parents[1]

COMPLETE = """
local done = {}
for i = 1, #ARGV, 3 do
  local key = ARGV[i + 1]
  if redis.call('HGET', key, 's') ~= 'C' then
    redis.call('HSET', key, 's', 'C', 'o', ARGV[i + 2])
    redis.call('EXPIRE', key, 86400)
    done[#done + 1] = ARGV[i + 1]
    done[#done + 1] = ARGV[i + 2]
  end
  redis.call('XACK', 'limit:q', 'w', ARGV[i])
  redis.call('XDEL', 'limit:q', ARGV[i])
end
redis.call('XADD', 'limit:done', '*', 'o', cmsgpack.pack(done))
"""


def work(where: str, name: str) -> None:
    """One worker: until its group is gone."""
    client = _client(where)
    complete = client.script_load(COMPLETE)
    while True:
        try:
            reply = client.xreadgroup("w", name, {"limit:q": ">"}, count=128, block=1000)
        except redis.exceptions.ResponseError:
            return
        settled: list[bytes] = []
        for _, entries in reply or ():
            for entry, fields in entries:
                (value,) = msgpack.unpackb(fields[b"b"])
                settled += [entry, fields[b"r"], msgpack.packb([value])]
        if settled:
            client.evalsha(complete, 0, *settled)


def _client(where: str) -> redis.Redis:
    """``where`` is a URL, or the path of a socket. Protocol 2: :func:`work` reads its replies."""
    return redis.Redis.from_url(where if "://" in where else f"unix://{where}", protocol=2)


@contextmanager
def _workers(where: str) -> Iterator[tuple[redis.Redis, list[subprocess.Popen[bytes]]]]:
    """Two of them, with an empty queue; nothing of them is left afterwards."""
    client = _client(where)
    client.delete("limit:q", "limit:done")
    client.xgroup_create("limit:q", "w", "0", mkstream=True)
    command = [sys.executable, "-m", "benchmarks.limit", where]
    workers = [subprocess.Popen([*command, f"w{number}"], cwd=ROOT) for number in range(2)]
    try:
        while len(client.xinfo_consumers("limit:q", "w")) < 2:
            time.sleep(0.01)
        yield client, workers
    finally:
        client.delete("limit:q", "limit:done")
        for worker in workers:
            worker.wait(10)


def fan_out(where: str, calls: int) -> float:
    """Seconds for sending, running and collecting ``calls`` no-ops with two bare workers."""
    with _workers(where) as (client, _):
        begun = time.perf_counter()
        _send(client, calls)
        collected, last = 0, "0"
        while collected < calls:
            for _, entries in client.xread({"limit:done": last}, count=1000, block=1000):
                for entry, fields in entries:
                    last = entry
                    collected += len(msgpack.unpackb(fields[b"o"], raw=True)) // 2
        seconds = time.perf_counter() - begun
        _forget(client, calls)
    return seconds


def drain(where: str, calls: int) -> float:
    """Seconds until ``calls`` queued no-ops are settled, from the moment at which two held workers are let go."""
    with _workers(where) as (client, workers):
        for worker in workers:
            worker.send_signal(signal.SIGSTOP)
        _send(client, calls)
        begun = time.perf_counter()
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
        while client.xlen("limit:q"):  # settled entries are deleted
            time.sleep(0.004)
        seconds = time.perf_counter() - begun
        _forget(client, calls)
    return seconds


def _send(client: redis.Redis, calls: int) -> None:
    for first in range(0, calls, 500):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(first + 500, calls)):
            key, body = f"limit:r:{number:036d}", msgpack.packb([number])
            pipeline.hset(key, mapping={"s": "Q", "b": body})
            pipeline.xadd("limit:q", {"r": key, "b": body})
        pipeline.execute()


def _forget(client: redis.Redis, calls: int) -> None:
    for first in range(0, calls, 5000):
        client.delete(*[f"limit:r:{number:036d}" for number in range(first, min(first + 5000, calls))])


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
