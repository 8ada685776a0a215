"""The harness under the name that Prefect's users import it by (``prefect.testing.utilities``)."""

from orchestrator.testing.private import orchestrator_test_harness, prefect_test_harness

__all__ = ["orchestrator_test_harness", "prefect_test_harness"]
