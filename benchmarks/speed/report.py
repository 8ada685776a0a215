"""The results as tables for people.

``python -m benchmarks.speed.report`` puts the tables of the kept results of a run with all peers into the pages that
have a place for them: ``benchmarks/README.md`` and ``README.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.peers.environments import PEERS
from benchmarks.peers.rig import OURS
from benchmarks.speed import targets
from benchmarks.speed.figures import FIGURES, ratio, shown
from benchmarks.speed.machine import in_words
from benchmarks.speed.results import Results
from benchmarks.speed.systems import title_of

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "benchmarks" / "results"
ALL_PEERS: Final = FOLDER / "speed_peers.json"
HEADLINES: Final = (
    "send", "send_threads", "send_asyncio", "drain", "drain_map", "fan_out", "round_trip_p50", "payload_100k",
)  # fmt: skip
MARKS: Final = {
    ROOT / "benchmarks" / "README.md": ("targets", "wide", "machine"),
    ROOT / "README.md": ("headlines", "machine"),
}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers.

    >>> print(table(["a", "b"], [["x", "1"]]))
    | a | b |
    |---|--:|
    | x | 1 |
    """
    lines = [list(headings), ["---"] + ["--:"] * (len(headings) - 1), *map(list, rows)]
    return "\n".join("|" + "|".join(_cell(cell) for cell in line) + "|" for line in lines)


def _cell(text: str) -> str:
    return text if set(text) <= set("-:") and text else f" {text} "


def wide(results: Results, keys: Iterable[str] = FIGURES) -> str:
    """A column for each system: the median, and how many times better we are."""
    keys = [key for key in keys if key in results.values]
    systems = results.systems(keys)
    rows = []
    for key in keys:
        figure, cells = FIGURES[key], []
        ours = results.median(key)
        for system in systems:
            median = results.median(key, system)
            text = "" if median is None else shown(figure, median)
            if median is not None and system != OURS and ours is not None:
                text += _times(ratio(figure, ours, median))
            cells.append(f"**{text}**" if system == OURS and text else text)
        rows.append([f"{figure.title}, {figure.unit}", *cells])
    return table(["", *(title_of(system) for system in systems)], rows)


def _times(ratio: float) -> str:
    """In brackets; nothing where there is nothing to compare with.

    >>> _times(0.234), _times(5.62), _times(56.2), _times(562.3), _times(math.inf)
    (' (0.23x)', ' (5.6x)', ' (56x)', ' (562x)', '')
    """
    return "" if math.isinf(ratio) else f" ({ratio:.{0 if ratio >= 10 else 1 if ratio >= 1 else 2}f}x)"


def headlines(results: Results) -> str:
    """The rows of the README."""
    return wide(results, HEADLINES)


def long(results: Results) -> str:
    """A row for each figure and system: median, least, most, rounds, and how many times better we are."""
    rows = []
    for key, figure in FIGURES.items():
        for system in results.systems([key]):
            found, ours = results.spread(key, system), results.median(key)
            assert found is not None
            better = "" if system == OURS or ours is None else f"{ratio(figure, ours, found.median):.2f}"
            rounds = len(results.values[key][system])
            numbers = [shown(figure, value) for value in found]
            rows.append([f"{figure.title}, {figure.unit}", title_of(system), *numbers, str(rounds), better])
    return table(["", "system", "median", "least", "most", "rounds", "we, times better"], rows)


def reached(results: Results) -> str:
    """What must be reached, and whether it is."""
    return table(["figure", "asked", "measured", ""], targets.rows(results))


def machine(results: Results) -> str:
    """What it was measured on, and how."""
    facts = results.facts
    told = f"{in_words(facts['machine'])} Medians of {facts['rounds']} rounds, interleaved."
    left_out = [title_of(name) for name in PEERS if name not in facts["settings"]]
    if left_out and len(left_out) < len(PEERS):
        told += f"\nWithout {', '.join(left_out)}: not measured in this run."
    return told


def settings(results: Results) -> str:
    """The settings of each system."""
    return "\n".join(f"- {title_of(name)}: {text}." for name, text in results.facts["settings"].items())


def page(results: Results, plots: Iterable[str] = ()) -> str:
    """Everything, as a page."""
    parts = ["# Speed", machine(results), "## Must reach", reached(results), "## Side by side"]
    parts += ["Medians; in brackets how many times better we are.", wide(results)]
    parts += [f"![{name}]({name})" for name in plots]
    parts += ["## Settings", settings(results), "## Every figure", long(results)]
    if results.facts["missing"]:
        parts += ["## Not measured", "\n".join(f"- {text}" for text in results.facts["missing"])]
    return "\n\n".join(parts) + "\n"


PARTS: Final = {"targets": reached, "wide": wide, "machine": machine, "headlines": headlines}


def on_page(text: str, name: str, part: str) -> str:
    """The page with this part between its marks; unchanged if it has none.

    >>> on_page("a <!-- speed wide begins -->old<!-- speed wide ends --> b", "wide", "new")
    'a <!-- speed wide begins -->\\nnew\\n<!-- speed wide ends --> b'
    """
    begin, end = f"<!-- speed {name} begins -->", f"<!-- speed {name} ends -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    return f"{before}{begin}\n{part}\n{end}{after}" if found and closed else text


def part_on(text: str, name: str) -> str | None:
    """What is between the marks of a part; ``None`` if the page has none.

    >>> part_on("a <!-- speed wide begins -->old<!-- speed wide ends --> b", "wide")
    'old'
    """
    _, found, rest = text.partition(f"<!-- speed {name} begins -->")
    part, closed, _ = rest.partition(f"<!-- speed {name} ends -->")
    return part.strip() if found and closed else None


def main() -> None:
    """Put the tables of the kept results into the pages."""
    results = Results.read(ALL_PEERS)
    for file, names in MARKS.items():
        text = file.read_text()
        for name in names:
            text = on_page(text, name, PARTS[name](results))
        file.write_text(text)


if __name__ == "__main__":
    main()
