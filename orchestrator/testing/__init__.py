"""For the tests of those who use us: a fleet of their own, or none at all. See ``docs/testing.md``.

``private_fleet``: a real server and a worker in this process. ``inline``: no server, calls run where they are sent.
As pytest fixtures: ``pytest_plugins = ["orchestrator.testing.pytest_plugin"]``.
"""

from orchestrator.testing.inlining import inline
from orchestrator.testing.private import orchestrator_test_harness, private_fleet

__all__ = ["inline", "orchestrator_test_harness", "private_fleet"]
