"""What publishing needs is imported by whoever makes the publisher."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from brokers.celery.publisher import Publisher
from brokers.celery.topology import Topology
Publisher({url!r}, Topology("x", amqp=True))
print({module!r} in sys.modules)
"""


@pytest.mark.parametrize(
    ("url", "module"),
    [
        ("celery+amqp://nobody@127.0.0.1:1//", "kombu.transport.pyamqp"),
        ("celery+redis://127.0.0.1:1/1", "kombu.transport.redis"),
    ],
)
def test_the_transport_is_imported_before_any_thread_publishes(url: str, module: str) -> None:
    """A process that is forked while another thread imports a module can never import it: CPython keeps it locked."""
    script = SCRIPT.format(url=url, module=module)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_url_that_kombu_does_not_know_is_no_error_before_somebody_connects() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(url="celery+nonsense://here", module="kombu")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
