"""What was measured on: machine, system, server, versions, date."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.environments import PEERS, versions_of
from benchmarks.peers.rig import OURS, server_version

NAMED = ("redis", "hiredis", "msgpack")
QUIET_LOAD: Final = 0.3
"""A load above which something else was at work: with two cores for client, workers and server, that shows."""


def cpu_model(cpuinfo: str) -> str:
    """The first model that ``/proc/cpuinfo`` names.

    >>> cpu_model("processor : 0\\nmodel name\\t: A CPU @ 2 GHz\\n")
    'A CPU @ 2 GHz'
    """
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in ("model name", "hardware", "cpu part"):
            return value.strip()
    return platform.processor() or platform.machine()


def describe(systems: list[str]) -> dict[str, Any]:
    """For the results: first the load, then the environments of the peers, which are made if they are not there yet."""
    load = os.getloadavg()[0]
    versions = {OURS: importlib.metadata.version(OURS)}
    versions |= {name: importlib.metadata.version(name) for name in NAMED}
    for name in systems:
        if name in PEERS:
            versions |= _versions_of(name)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpuinfo = Path("/proc/cpuinfo")
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "cpu": cpu_model(cpuinfo.read_text() if cpuinfo.exists() else ""),
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "kernel": platform.platform(),
        "python": platform.python_version(),
        "server": server_version(),
        "load_before": round(load, 2),
        "versions": versions,
    }


def _versions_of(name: str) -> dict[str, str]:
    """Of the packages that its row names, except the Redis client: that of ours is the same where it can be."""
    peer = PEERS[name]
    installed = versions_of(peer)
    named = [package for package in peer.pins if package not in NAMED]
    if peer.kind == "npm":
        named.append("node")
    return {package: installed[package] for package in named}


def in_words(facts: dict[str, Any]) -> str:
    """Two lines for people."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['date']}, {facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']:g} GB, {facts['kernel']}, "
        f"Python {facts['python']}, {facts['server']} (append-only file, synced every second, over TCP); load before "
        f"the run {facts['load_before']:g}.{_busy(facts['load_before'])}\n{versions}."
    )


def _busy(load: float) -> str:
    """A sentence if the machine was not quiet when the run began.

    >>> _busy(0.3), _busy(4.22)
    ('', ' **The machine was not quiet when the run began** (a load above 0.3): figures and ratios may be off.')
    """
    if load <= QUIET_LOAD:
        return ""
    told = "**The machine was not quiet when the run began**"
    return f" {told} (a load above {QUIET_LOAD:g}): figures and ratios may be off."
