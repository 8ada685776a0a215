"""The sending side, in the environment of a queue: ``python client.py on_celery``.

Reads a question a line from standard input, as JSON (``["fan_out", 1000]``), and writes the answer as a line of JSON;
what went wrong as ``{"error": ...}``. The questions are the methods of :class:`Client`. Standard library only.

Every ``on_*`` module has, with the words and idioms of its queue:

- ``settings()`` in words, ``worker(processes, one_at_a_time)`` the commands that make a worker of so many processes
- ``send(task, *arguments)`` one call; gives a handle
- ``send_many(task, rows)`` many, as the queue's users would; gives handles
- ``collect(handles)`` the results of all, as its users would
- ``result(handle)`` the result of one, as soon as the queue can tell
- ``is_ready(handle)`` whether its result is stored

They are functions, or all coroutine functions. ``asend`` beside a plain ``send`` is the same for event loops. Where
``collect`` cannot have what other threads have sent, ``ended(handles)`` reads the results of calls that were drained.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
import threading
import time
import traceback

LOOK_SECONDS = 0.004
"""How often we look whether a result is there: often enough for the clock, seldom enough to leave the cores alone."""
TAIL = 256  # calls at the end of the queue that are looked at one by one; all the others when their results are read
PATIENCE_SECONDS = 60.0


class Client:
    """Answers the questions; keeps handles on the calls that were sent and not collected."""

    def __init__(self, app):
        self.app = app
        self.loop = asyncio.new_event_loop() if inspect.iscoroutinefunction(app.send) else None
        if self.loop or hasattr(app, "asend"):
            self.loop = self.loop or asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        self.sent = []
        self.expected = []

    def _do(self, name, *arguments):
        done = getattr(self.app, name)(*arguments)
        return self.loop.run_until_complete(done) if inspect.isawaitable(done) else done

    # -- about it --------------------------------------------------------------------------------------------------

    def settings(self):
        """The settings, in words."""
        return self.app.settings()

    def worker(self, processes, one_at_a_time):
        """The commands of a worker."""
        return self.app.worker(processes, one_at_a_time)

    def handlers(self):
        """The kinds of concurrent senders that there are."""
        if inspect.iscoroutinefunction(self.app.send):
            return ["asyncio"]
        return ["threads", "asyncio"] if hasattr(self.app, "asend") else ["threads"]

    # -- sends -----------------------------------------------------------------------------------------------------

    def one_by_one(self, calls):
        """Seconds of so many sends, one after the other; each has been confirmed when the next begins."""
        rows = range(calls)
        if inspect.iscoroutinefunction(self.app.send):

            async def send_all():
                return [await self.app.send("noop", number) for number in rows]

            begun = time.perf_counter()
            handles = self.loop.run_until_complete(send_all())
        else:
            send = self.app.send
            begun = time.perf_counter()
            handles = [send("noop", number) for number in rows]
        seconds = time.perf_counter() - begun
        self._keep(handles, rows)
        return seconds

    def from_handlers(self, calls, handlers, kind):
        """Seconds of so many sends by concurrent handlers (``threads`` or ``asyncio``) of this process."""
        each = calls // handlers
        seconds, handles = getattr(self, f"_from_{kind}")(each, handlers)
        self._keep(handles, range(each * handlers))
        return [seconds, each * handlers]

    def _from_threads(self, each, handlers):
        shares = [[] for _ in range(handlers)]
        gate = threading.Barrier(handlers + 1)
        errors = []

        def handle(share, first):
            gate.wait()
            try:
                for number in range(first, first + each):
                    share.append(self.app.send("noop", number))
            except BaseException as error:
                errors.append(error)

        threads = [
            threading.Thread(target=handle, args=(share, place * each), daemon=True)
            for place, share in enumerate(shares)
        ]
        for thread in threads:
            thread.start()
        gate.wait()
        begun = time.perf_counter()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begun
        if errors:
            raise errors[0]
        return seconds, [handle for share in shares for handle in share]

    def _from_asyncio(self, each, handlers):
        send = getattr(self.app, "asend", self.app.send)

        async def handle(first):
            return [await send("noop", number) for number in range(first, first + each)]

        async def all_of_them():
            return await asyncio.gather(*(handle(place * each) for place in range(handlers)))

        begun = time.perf_counter()
        shares = self.loop.run_until_complete(all_of_them())
        return time.perf_counter() - begun, [handle for share in shares for handle in share]

    def queue(self, task, rows, expected=None):
        """Send these without anybody waiting for them; they are awaited by ``drained``."""
        self._keep(self._do("send_many", task, rows), expected)

    def queue_map(self, calls):
        """The same for so many calls that do nothing, whose results are checked."""
        self.queue("noop", [(number,) for number in range(calls)], range(calls))

    def _keep(self, handles, expected):
        self.sent += handles
        self.expected += [None] * len(handles) if expected is None else list(expected)

    # -- ends ------------------------------------------------------------------------------------------------------

    def first_ready(self):
        """The moment (``time.monotonic``) at which the result of the first call that was sent is there."""
        self._wait(self.sent[0], time.monotonic() + PATIENCE_SECONDS)
        return time.monotonic()

    def forget(self):
        """Nobody asks for what was sent."""
        self.sent, self.expected = [], []

    def drained(self):
        """The moment at which the last result was there, of all that was sent; then reads and checks all of them.

        Looks at the end of the queue first. A result that is there when it is looked at was there no later than the
        one before, so only those that we had to wait for move the clock.
        """
        latest, deadline = time.monotonic(), time.monotonic() + PATIENCE_SECONDS
        for handle in self.sent[: -TAIL - 1 : -1]:
            if self._wait(handle, deadline):
                latest = time.monotonic()
        results = self._do("ended" if hasattr(self.app, "ended") else "collect", self.sent)
        for result, expected in zip(results, self.expected, strict=True):
            if expected is not None and result != expected:
                raise AssertionError(f"a result is {result!r}, not {expected!r}")
        self.forget()
        return latest

    def _wait(self, handle, deadline):
        """Whether it was not there at the first look."""
        waited = False
        while not self._do("is_ready", handle):
            waited = True
            time.sleep(LOOK_SECONDS)
            if time.monotonic() > deadline:
                raise TimeoutError(f"a call has no result after {PATIENCE_SECONDS:g} s")
        return waited

    # -- there and back --------------------------------------------------------------------------------------------

    def fan_out(self, calls, payload=0):
        """Seconds for sending so many calls together and having all their results; ``payload`` in bytes each."""
        rows = [("x" * payload,)] * calls if payload else [(number,) for number in range(calls)]
        expected = [payload] * calls if payload else list(range(calls))
        begun = time.perf_counter()
        results = self._do("collect", self._do("send_many", "echo" if payload else "noop", rows))
        seconds = time.perf_counter() - begun
        if list(results) != expected:
            raise AssertionError("the results are not those of the calls")
        return seconds

    def processes(self, seconds, calls):
        """The processes that run calls now: so many calls that sleep a little say where they ran."""
        return sorted(set(self._do("collect", self._do("send_many", "pause", [(seconds,)] * calls))))

    def round_trips(self, count):
        """Seconds of so many single calls, each from its send to its result."""
        if inspect.iscoroutinefunction(self.app.send):
            return self.loop.run_until_complete(self._async_round_trips(count))
        times = []
        for number in range(count):
            begun = time.perf_counter()
            self.app.result(self._watched("noop", number))
            times.append(time.perf_counter() - begun)
        return times

    def _watched(self, task, *arguments):
        return getattr(self.app, "send_watched", self.app.send)(task, *arguments)

    async def _async_round_trips(self, count):
        times = []
        for number in range(count):
            begun = time.perf_counter()
            await self.app.result(await self.app.send("noop", number))
            times.append(time.perf_counter() - begun)
        return times

    def __getattr__(self, name):
        return getattr(self.app, name)  # questions that only one app answers


def main():
    # Libraries may print; what they print must not look like an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    client = Client(importlib.import_module(sys.argv[1]))
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        try:
            answer = getattr(client, verb)(*arguments)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
