"""Names, messages and comments use the words of the field: those that an engineer from elsewhere searches for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import house

PRIVATE: Final = {  # a word that was used here for many things, and what each of them is called
    "tell": "notify, publish, report, record, or distinguish: five things under one word",
    "told": "as tell; a variable with that name says nothing of what it holds",
    "tells": "as tell",
    "telling": "as tell",
    "said": "recorded, reported, or configured: programs do not talk",
    "hear": "receive; of a process: its last heartbeat",
    "hears": "as hear",
    "heard": "as hear",
    "bury": "reap, as Unix calls it",
    "buried": "reaped",
    "undertaker": "crash recovery",
    "heir": "successor",
    "deaf": "ignores signals, or gets no commands",
    "doorway": "probe server",
}
PHRASES: Final = {
    "says? of (itself|themselves)": "the description of a consumer",
    "piece of news": "event",
    "not heard of": "sent no heartbeat",
}
ELSEWHERE: Final = {".tell()": "the position in a file, in the standard library"}
SUFFIXES: Final = (".py", ".lua", ".js", ".mjs", ".html")


def _lines() -> Iterator[tuple[str, str]]:
    """Where, and the line: code, names, texts and comments alike."""
    for floor in house.FLOORS:
        for path in sorted((house.ROOT / floor).rglob("*")):
            if path.suffix in SUFFIXES:
                for number, line in enumerate(path.read_text().splitlines(), 1):
                    for foreign in ELSEWHERE:
                        line = line.replace(foreign, "")
                    yield f"{path.relative_to(house.ROOT)}:{number}", line.lower()


def test_private_words_stay_out() -> None:
    found = {
        f"{where}: {word}": PRIVATE[word]
        for where, line in _lines()
        for word in re.findall(r"[a-z]+", line)  # the parts of a name, too
        if word in PRIVATE
    }
    assert not found


@pytest.mark.parametrize("phrase", PHRASES)
def test_private_phrases_stay_out(phrase: str) -> None:
    found = [where for where, line in _lines() if re.search(phrase, line)]
    assert not found, PHRASES[phrase]


def test_the_glossary_has_the_words_that_the_code_uses() -> None:
    page = (house.ROOT / "ARCHITECTURE.md").read_text().partition("## Words")[2].partition("\n## ")[0]
    words = re.findall(r"^\| (\w[\w ]*) \|", page, re.MULTILINE)[1:]
    source = " ".join(line for _, line in _lines())
    assert len(words) >= 10
    assert [word for word in words if not re.search(rf"{word.replace(' ', '[ _]')}", source)] == []
