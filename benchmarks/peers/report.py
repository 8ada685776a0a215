"""The answers as a table for people, and as JSON.

``python -m benchmarks.peers.report`` puts the table of the kept answers into docs/peers.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.environments import PEERS
from benchmarks.peers.questions import Answer
from benchmarks.peers.rig import OURS

Facts = dict[str, Any]
HEADINGS: Final = {
    "cut": "the reply that hands a call out is cut",
    "kill": "`kill -9` of a worker that runs a call",
    "poison": "a call that kills its process, among 20 others",
}
ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / "benchmarks" / "results" / "peer_faults.json"
PAGE: Final = ROOT / "docs" / "peers.md"
BEGIN, END = "<!-- the script's table begins -->\n", "\n<!-- the script's table ends -->"
NAMED: Final = ("celery", "kombu", "dramatiq", "rq", "taskiq", "taskiq-redis", "redis", "hiredis")


def as_json(facts: Facts) -> str:
    """For a file."""
    return json.dumps(facts, indent=1, sort_keys=True) + "\n"


def as_markdown(facts: Facts) -> str:
    """The table, and the settings and versions that belong to it."""
    answers = [Answer(**{**row, "others": tuple(row["others"])}) for row in facts["answers"]]
    asked = [question for question in HEADINGS if any(answer.question == question for answer in answers)]
    lines = [
        "| | " + " | ".join(HEADINGS[question] for question in asked) + " |",
        "|---" * (len(asked) + 1) + "|",
    ]
    for name, settings, _ in facts["settings"]:
        cells = {answer.question: told(answer) for answer in answers if answer[:2] == (name, settings)}
        lines.append(
            f"| {_title(name, settings)} | " + " | ".join(cells.get(question, "no answer") for question in asked) + " |"
        )
    lines += ["", "Settings:", ""]
    lines += [f"- {_title(name, settings)}: {text}." for name, settings, text in facts["settings"]]
    lines += ["", f"Versions: {_versions(facts)}, {facts['server']}."]
    lines += [f"{facts['date']}, {facts['machine']}, {facts['cells_at_a_time']} cells at a time."]
    return "\n".join(lines)


def _title(name: str, settings: str) -> str:
    title = f"**{name}**" if name == OURS else PEERS[name].title
    return title if name == OURS else f"{title}, {settings}"


def _versions(facts: Facts) -> str:
    found: dict[str, str] = {OURS: facts["versions"][OURS][OURS]}
    everything = {name: version for installed in facts["versions"].values() for name, version in installed.items()}
    found.update({name: everything[name] for name in NAMED if name in everything})
    return ", ".join(f"{name} {version}" for name, version in found.items()) + f", Python {facts['python']}"


def told(answer: Answer) -> str:
    """One answer in words.

    >>> told(Answer("rq", "tuned", "kill", 2, 65.5, "done", (70, 70), 70.6))
    'run again after 65.5 s; done; others 70 of 70'
    """
    others = f"others {answer.others[0]} of {answer.others[1]}"
    if answer.question == "poison" and answer.detail:
        others += f" ({answer.detail})"
    restarts = f"; the worker ended {_times(answer.restarts)} and was started again" if answer.restarts else ""
    return f"{_outcome(answer)}; {answer.state}; {others}{restarts}"


def _outcome(answer: Answer) -> str:
    if answer.question == "poison":
        last = f", last after {answer.seconds:.0f} s" if answer.runs > 1 and answer.seconds is not None else ""
        return f"run {_times(answer.runs)} in {answer.watched_seconds:.0f} s{last}"
    if answer.seconds is None:
        return f"not run{' again' if answer.question == 'kill' else ''} within {answer.watched_seconds:.0f} s"
    again, expected = ("again ", 2) if answer.question == "kill" else ("", 1)
    more = f", {_times(answer.runs)} in all" if answer.runs > expected else ""
    return f"run {again}after {answer.seconds:.1f} s{more}"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def on_page(page: str, table: str) -> str:
    """The page with this table between its marks.

    Raises:
        ValueError: it has no marks.
    """
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"no place for the table: {BEGIN.strip()} and {END.strip()} are missing")
    return f"{before}{BEGIN}{table}{END}{after}"


def main() -> None:
    """Put the kept answers into the page."""
    PAGE.write_text(on_page(PAGE.read_text(), as_markdown(json.loads(RESULTS.read_text()))))


if __name__ == "__main__":
    main()
