"""Pictures of the results: bars, ours in a colour of its own. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.rig import OURS
from benchmarks.speed.figures import FIGURES, shown
from benchmarks.speed.results import Results
from benchmarks.speed.systems import BARE, title_of

OURS_COLOUR, PEER_COLOUR, BARE_COLOUR = "#d1495b", "#9aa5b1", "#e3d5b8"
PEER_LINES: Final = ("#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#ff7f0e")
COLOURS: Final = {OURS: OURS_COLOUR, BARE: BARE_COLOUR}
PICTURES: Final[dict[str, Sequence[str]]] = {
    "speed_throughput": ("drain", "drain_map", "fan_out", "send", "send_threads", "send_asyncio", "payload_100k"),
    "speed_latency": ("round_trip_p50", "round_trip_p99"),
    "speed_footprint": ("idle_cpu", "child_mb", "start_up"),
}
SCALING: Final = "speed_scaling"
FORMATS: Final = ("png", "svg")
LOG_FROM: Final = 20.0
"""A ratio between the largest and the smallest value above which the scale is logarithmic."""


def scale_of(values: Sequence[float]) -> str:
    """Which scale shows all of these.

    >>> scale_of([1, 3]), scale_of([1, 300]), scale_of([0, 300])
    ('linear', 'log', 'linear')
    """
    return "log" if min(values) > 0 and max(values) / min(values) > LOG_FROM else "linear"


def draw(results: Results, folder: Path, prefix: str = "") -> list[str]:
    """Write the pictures into a folder; returns the names of the PNG files. Nothing without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "speed", "font.size": 9, "svg.fonttype": "none"})
    names = []
    for name, keys in PICTURES.items():
        drawn = [key for key in keys if len(results.systems([key])) > 1]
        if drawn:
            names.append(_bars(results, drawn, folder, prefix + name))
    if len(results.systems(["sleepers_4"])) > 0:
        names.append(_lines(results, folder, prefix + SCALING))
    return names


def _bars(results: Results, keys: Sequence[str], folder: Path, name: str) -> str:
    from matplotlib import pyplot

    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    figure, places = pyplot.subplots(rows, columns, figsize=(4.3 * columns, 3.1 * rows), squeeze=False)
    for place in places.flat[len(keys) :]:
        place.axis("off")
    for place, key in zip(places.flat, keys, strict=False):
        _bar_chart(place, results, key)
    return _saved(figure, folder, name)


def _bar_chart(place: Any, results: Results, key: str) -> None:
    figure = FIGURES[key]
    found = {system: results.spread(key, system) for system in results.systems([key])}
    ranked = sorted(found.items(), key=lambda row: row[1].median if row[1] else 0, reverse=figure.more_is_better)
    medians = [spread.median for _, spread in ranked if spread]
    scale = scale_of(medians)
    for height, (system, spread) in enumerate(reversed(ranked)):
        assert spread is not None
        error = [[spread.median - spread.least], [spread.most - spread.median]]
        place.barh(height, spread.median, color=COLOURS.get(system, PEER_COLOUR), xerr=error, ecolor="#555555")
        weight = "bold" if system == OURS else "normal"
        label = shown(figure, spread.median)
        place.annotate(label, (spread.most, height), (4, 0), textcoords="offset points", va="center", weight=weight)
    place.set_yticks(range(len(ranked)), [title_of(system) for system, _ in reversed(ranked)])
    for label, (system, _) in zip(place.get_yticklabels(), reversed(ranked), strict=True):
        label.set_fontweight("bold" if system == OURS else "normal")
    place.set_xscale(scale)
    low = min(medians) / 2 if scale == "log" else 0
    most = max(spread.most for _, spread in ranked if spread)
    place.set_xlim(low, most * (6 if scale == "log" else 1.3) or 1)
    better = "more is better" if figure.more_is_better else "less is better"
    place.set_title(f"{figure.title}\n{figure.unit}, {better}{', log scale' if scale == 'log' else ''}", fontsize=9)
    place.spines[["top", "right"]].set_visible(False)


def _lines(results: Results, folder: Path, name: str) -> str:
    from matplotlib import pyplot

    figure, place = pyplot.subplots(figsize=(5, 3.4))
    counts = (1, 2, 4)
    colours = iter(PEER_LINES)
    for system in reversed(results.systems(["sleepers_4"])):
        rates = [results.median(f"sleepers_{count}", system) for count in counts]
        if None not in rates:
            width = 2.5 if system == OURS else 1.2
            colour = OURS_COLOUR if system == OURS else next(colours)
            place.plot(counts, rates, marker="o", color=colour, linewidth=width, label=title_of(system))
    place.plot(counts, [100 * count for count in counts], "--", color="#555555", linewidth=1, label="ideal")
    place.set_xticks(counts)
    place.set_xlabel("processes, one call at a time in each")
    place.set_title("tasks that sleep 10 ms, calls/s, more is better", fontsize=9)
    place.legend(fontsize=7, frameon=False)
    place.spines[["top", "right"]].set_visible(False)
    return _saved(figure, folder, name)


def _saved(figure: Any, folder: Path, name: str) -> str:
    from matplotlib import pyplot

    figure.tight_layout()
    for kind in FORMATS:
        figure.savefig(folder / f"{name}.{kind}", dpi=130, metadata={"Date": None} if kind == "svg" else None)
    pyplot.close(figure)
    return f"{name}.png"
