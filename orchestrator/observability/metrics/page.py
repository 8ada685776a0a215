"""Pages for Prometheus, in the format that the scraper asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ConfigurationError

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.observability.metrics.readings import WorkerReading


def check_installed() -> None:
    """Raises ConfigurationError without prometheus-client."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            "metrics need prometheus-client: pip install 'orchestrator[metrics]' (or leave --metrics-port out)"
        ) from None


def fleet_page(fleet: Fleet, accept: str = "") -> tuple[bytes, str]:
    """The figures from the store, for a server's ``/metrics``: body and content type. Blocks for a round trip.

    A store that does not answer is a figure (``orchestrator_store_up 0``), not an error.

    Args:
        fleet: which.
        accept: the header ``Accept`` of the request.

    Raises:
        ConfigurationError: prometheus-client is not installed.
    """
    from orchestrator.observability.metrics.readings import read_fleet

    check_installed()
    from orchestrator.observability.metrics.families import fleet_families

    fleet_reading = read_fleet(fleet)
    return _page(lambda: fleet_families(fleet_reading), accept)


def worker_page(fleet: Fleet, reading: WorkerReading, accept: str = "") -> tuple[bytes, str]:
    """The figures of one worker, and those from the store: body and content type. See :func:`fleet_page`."""
    from orchestrator.observability.metrics.families import fleet_families, worker_families
    from orchestrator.observability.metrics.readings import read_fleet

    fleet_reading = read_fleet(fleet)

    def families() -> Iterator[Any]:
        yield from worker_families(reading)
        yield from fleet_families(fleet_reading)

    return _page(families, accept)


class _Families:
    """A collector for one page."""

    def __init__(self, families: Callable[[], Iterator[Any]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        yield from self._families()

    def describe(self) -> list[Any]:
        return []


def _page(families: Callable[[], Iterator[Any]], accept: str) -> tuple[bytes, str]:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
