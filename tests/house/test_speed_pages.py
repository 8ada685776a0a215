"""The pages show what the benchmarks have printed, whole and unchanged, and nothing before they have run."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.environments import PEERS
from benchmarks.speed import report
from benchmarks.speed.results import Results
from benchmarks.speed.systems import SYSTEMS

PLACES = [(file, name) for file, names in report.MARKS.items() for name in names]


@pytest.mark.parametrize(("file", "name"), PLACES, ids=[f"{file.parent.name}-{name}" for file, name in PLACES])
def test_a_page_shows_the_kept_results_as_the_harness_prints_them(file: Path, name: str) -> None:
    shown = report.part_on(file.read_text(), name)
    if report.ALL_PEERS.exists():
        expected = report.PARTS[name](Results.read(report.ALL_PEERS))
        assert shown in (None, expected), "run python -m benchmarks.speed.report"
    else:
        assert not shown, "figures without the results that they are from"


def test_the_page_of_the_benchmarks_has_a_place_for_every_part() -> None:
    page = report.ROOT / "benchmarks" / "README.md"
    assert all(report.part_on(page.read_text(), name) is not None for name in (*report.MARKS[page], "stages"))


def test_the_kept_results_are_of_all_systems_and_of_the_versions_in_the_table_of_environments() -> None:
    """Peers of Node may be missing, where there was no Node; the page names them then (``report.machine``)."""
    if not report.ALL_PEERS.exists():
        pytest.skip("no results are kept yet: make bench-peers")
    results = Results.read(report.ALL_PEERS)
    measured, of_node = set(results.facts["settings"]), {peer.name for peer in PEERS.values() if peer.kind == "npm"}
    assert set(SYSTEMS) - of_node <= measured <= set(SYSTEMS)
    installed = results.facts["machine"]["versions"]
    for peer in PEERS.values():
        name, version = next(iter(peer.pins.items()))
        assert peer.name not in measured or installed[name] == version
