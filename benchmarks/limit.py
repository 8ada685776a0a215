"""What this machine and its server can do at most: the same loop, bare.

A prototype without promises that are not about speed: records and stream entries are written by a pipeline, two
processes read batches and settle each with one small script, a client reads the outcomes from one stream. No leases, no
retries, no types. Run as ``python -m benchmarks.limit SOCKET NAME`` it is one of the two workers.
"""

from __future__ import annotations

import subprocess
import sys
import time

import msgpack
import redis

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


def work(socket: str, name: str) -> None:
    """One worker: until its group is gone."""
    client = redis.Redis(unix_socket_path=socket)
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


def fan_out(socket: str, calls: int) -> float:
    """Seconds for sending, running and collecting ``calls`` no-ops with two bare workers."""
    client = redis.Redis(unix_socket_path=socket)
    client.delete("limit:q", "limit:done")
    client.xgroup_create("limit:q", "w", "0", mkstream=True)
    workers = [subprocess.Popen([sys.executable, "-m", "benchmarks.limit", socket, f"w{n}"]) for n in range(2)]
    try:
        while len(client.xinfo_consumers("limit:q", "w")) < 2:
            time.sleep(0.01)
        return _measure(client, calls)
    finally:
        client.delete("limit:q")
        for worker in workers:
            worker.wait(10)


def _measure(client: redis.Redis, calls: int) -> float:
    begun = time.perf_counter()
    for first in range(0, calls, 500):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(first + 500, calls)):
            key, body = f"limit:r:{number:036d}", msgpack.packb([number])
            pipeline.hset(key, mapping={"s": "Q", "b": body})
            pipeline.xadd("limit:q", {"r": key, "b": body})
        pipeline.execute()
    collected, last = 0, "0"
    while collected < calls:
        for _, entries in client.xread({"limit:done": last}, count=1000, block=1000):
            for entry, fields in entries:
                last = entry
                collected += len(msgpack.unpackb(fields[b"o"], raw=True)) // 2
    seconds = time.perf_counter() - begun
    for first in range(0, calls, 5000):
        client.delete(*[f"limit:r:{number:036d}" for number in range(first, min(first + 5000, calls))])
    return seconds


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
