"""A worker that was taken for dead and gets its own run back, while the first attempt still runs there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import program_or_skip
from tests.support import tracing
from tests.support.fault_rig import Rig
from tests.support.oracle import Model
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.behaviour


@pytest.mark.usefixtures("fleets_by_thread")
def test_the_end_of_the_stale_attempt_does_not_make_the_new_one_look_like_a_lost_claim(tmp_path: Path) -> None:
    server = ServerProcess(program_or_skip("embedded")).start()
    try:
        with Rig(server, tmp_path) as rig, rig.working(threads=2) as worker:
            future = tracing.sleep.submit(str(rig.trace), 2.5)
            rig.oracle.expect(future.run_id, Model(value=2.5))
            wait_until(lambda: len(tracing.notes(rig.trace)) == 1, message="the first attempt has begun")
            wait_until(lambda: tracing.notes(rig.trace)[0].at + 1.2 < time.monotonic(), message="time passes")
            rig.oracle.broker.deliveries.take_over(worker.consumer)
            wait_until(lambda: len(tracing.notes(rig.trace)) == 2, message="the same worker has begun a second one")
            # The first ends now and is refused; the second goes on for longer than two looks at what is pending.
            assert future.result(timeout=60) == 2.5
            worker.stop()
            assert rig.oracle.judge(faults=1, crashes=1) == []
    finally:
        server.close()
