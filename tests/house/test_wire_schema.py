"""The scripts write the letters of ``brokers/schema.py``, all of them and no other, and the keys of ``keys.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import call_meta, schema
from brokers.redis import blocks, keys
from brokers.redis.scripts import ALONE, load, parts_of
from brokers.schema import (
    AckKind,
    CallMeta,
    EventField,
    Extra,
    InboxField,
    InputField,
    JournalField,
    QueueEntryField,
    Reason,
    RecordField,
    ScriptedEnd,
    Status,
)
from orchestrator.server.index.facts import state_of_letter

SCRIPTS = Path(keys.__file__).parent / "scripts"
SOURCES = {
    file.relative_to(SCRIPTS).as_posix(): re.sub(r"--.*", "", file.read_text()) for file in SCRIPTS.rglob("*.lua")
}
EVERYTHING = "\n".join(SOURCES.values())
LETTER = re.compile(r"'(\w|\?)'$")


def letters(of: type) -> set[str]:
    """The values of a class of the schema."""
    values = [value for name, value in vars(of).items() if name.isupper()]
    return {value.decode() if isinstance(value, bytes) else value for value in values}


def calls(name: str, source: str = EVERYTHING) -> Iterator[list[str]]:
    """The arguments of each call of a function, as written."""
    for found in re.finditer(rf"(?<![\w.]){re.escape(name)}\(", source):
        yield _split(source, found.end())


def _split(source: str, at: int) -> list[str]:
    """What stands between commas from here to the bracket that closes."""
    depth, start, parts = 0, at, []
    quoted = False
    while True:
        char = source[at]
        quoted ^= char == "'"
        if not quoted:
            if depth == 0 and char in ",)}":
                parts.append(source[start:at].strip())
                start = at + 1
                if char != ",":
                    return parts
            depth += (char in "({[") - (char in ")}]")
        at += 1


def literals(parts: list[str]) -> set[str]:
    return {found.group(1) for part in parts if (found := LETTER.match(part))}


def commands(*names: str, on: str) -> Iterator[list[str]]:
    """What follows the key in commands on keys that are written so."""
    for function in ("redis.call", "redis.pcall"):
        for parts in calls(function):
            if parts[0].strip("'") in names and re.match(on, parts[1]):
                yield parts[2:]


RECORD = r"key$|record\("


def test_the_fields_of_a_record_are_those_of_the_schema() -> None:
    found: set[str] = set()
    for fields in commands("HMGET", "HGET", "HDEL", "HSTRLEN", "HINCRBY", on=RECORD):
        found |= literals(fields)
    for fields in commands("HSET", on=RECORD):
        found |= literals(fields[::2])
    for key, *fields in (*calls("look"), *calls("count_up")):
        if re.match(RECORD, key):
            found |= literals(fields)
    for verb in ("lib/submitting.lua", "send.lua"):
        built = SOURCES[verb]
        for start in re.finditer(r"local fields = \{", built):
            found |= literals(_split(built, start.end())[::2])
        found |= set(re.findall(r"fields\[n \+ [13]\] = '(\w)'", built))
        for start in re.finditer(r"for _, letter in ipairs\(\{(?= 'l')", built):
            found |= literals(_split(built, start.end()))
    assert found == letters(RecordField)


def test_no_two_meanings_share_a_letter() -> None:
    for of in (Status, AckKind, Reason, RecordField, Extra, QueueEntryField, InboxField, JournalField):
        names = [name for name in vars(of) if name.isupper()]
        assert len(names) == len(letters(of)), of
    assert [name for name, _ in call_meta._META.values()] == list(CallMeta._fields)


def test_the_scripts_know_the_statuses_of_the_schema() -> None:
    found = set(re.findall(r"(\w) = true", re.findall(r"local SETTLED = \{(.*?)\}", EVERYTHING)[0]))
    assert found == {status.decode() for status in schema.FINAL_STATUSES}
    for parts in commands("HSET", on=RECORD):
        found |= {
            value for at in range(0, len(parts) - 1, 2) if parts[at] == "'s'" for value in literals([parts[at + 1]])
        }
    for function, at in (("changed", 1), ("end_now", 1), ("finish", 1)):
        for parts in calls(function):
            found |= literals(parts[at : at + 1])
    found |= set(re.findall(r"status == '(.)'", EVERYTHING))
    found |= set(re.findall(r"or '(\?)'", EVERYTHING))
    # 'B' is written as a variable: whoever watches a foreign application says it.
    assert found | {"B"} == letters(Status)


def test_the_scripts_name_the_reasons_of_the_schema() -> None:
    found: dict[str, str] = {}
    for names, values in re.findall(r"^local ([A-Z_, ]+) = ((?:'\w'(?:, )?)+)$", EVERYTHING, re.MULTILINE):
        assert len(names.split(", ")) == values.count(",") + 1
        found |= dict(zip(names.split(", "), re.findall(r"'(\w)'", values), strict=True))
    del found["GROUP"]
    assert found == {name: value for name, value in vars(Reason).items() if name.isupper()}
    for function, at in (("end_now", 2), ("because", 0)):
        for parts in calls(function):
            assert parts[at] in {*found, "nil", "reason"}, parts


def test_a_script_writes_an_end_as_it_is_read() -> None:
    assert ScriptedEnd("a", "b", "c").pack() == b"\0a\x1fb\0c"
    assert re.findall(r"outcome \.\. '(.*?)'", EVERYTHING) == [r"\31", r"\0"]
    assert ord("\x1f") == 31


def test_an_end_is_as_long_in_an_inbox_whichever_script_writes_it() -> None:
    """The short script has none of the parts of the others, and numbers of its own."""
    short, parts = (SCRIPTS / "done.lua").read_text(), (SCRIPTS / "lib" / "inboxes.lua").read_text()
    found = re.search(r"local INLINE, MAX_OUTCOME_BYTES = (\d+), (\d+)", short)
    assert found is not None
    names = ("INLINE", "MAX_OUTCOME_BYTES")
    assert found.groups() == tuple(value for name in names for value in re.findall(rf"local {name} = (\d+)", parts))


def test_every_status_has_words() -> None:
    for status in letters(Status) - {"?"}:
        assert state_of_letter(status.encode())


def test_an_ack_may_say_what_the_script_of_completing_knows() -> None:
    known = set(re.findall(r"how [=~]= '(\w+)'", SOURCES["complete.lua"]))
    known |= set(re.findall(r"behind == '(\w+)'", SOURCES["complete.lua"]))
    known -= {blocks.PIECE, blocks.HANDED_BACK}  # many acks in one
    settled = {status.decode() for status in schema.FINAL_STATUSES - {Status.NOT_READY}}
    assert known | settled == letters(AckKind)


def test_an_envelope_may_say_what_the_script_of_sending_knows() -> None:
    source = SOURCES["lib/submitting.lua"]
    known = set(re.findall(r"\bx\.(\w)\b", source))
    for start in re.finditer(r"for _, letter in ipairs\(\{(?= 'l')", source):
        known |= literals(_split(source, start.end()))
    assert known == letters(Extra)


def test_entries_of_streams_are_of_the_schema() -> None:
    queue: set[str] = set()
    for fields in commands("XADD", on=r"stream\(|P \.\. 'q:'|P \.\. '(?:range_)?outbox'"):
        queue |= literals(fields[1::2])
    assert queue == letters(QueueEntryField)
    inbox = {
        letter
        for fields in commands("XADD", on=r"P \.\. 'in:'|key$")
        for letter in literals([part for part in fields if part not in ("'*'", "'NOMKSTREAM'")][:1])
    }
    assert inbox == letters(InboxField)
    inputs = {letter for fields in commands("XADD", on="inputs$") for letter in literals(fields[1::2])}
    assert inputs == letters(InputField)
    appended = (*calls("append_to_journal"), *calls("blocks.append_in_parts"))
    journal = {letter for parts in appended for letter in literals(parts[:1])}
    journal |= set(re.findall(r"packed, '(\w)', names", SOURCES["lib/journal.lua"]))
    assert journal == letters(JournalField)
    events = {letter for parts in commands("XADD", on=r"P \.\. 'evt'") for letter in literals(parts[1:2])}
    assert events == letters(EventField)


@pytest.mark.parametrize("verb", sorted(SOURCES))
def test_every_key_of_a_script_is_in_the_table_of_keys(verb: str) -> None:
    table = {row.split(":")[0] for row in re.findall(r"^``([^`]+)``", keys.__doc__ or "", re.MULTILINE)}
    named = re.findall(r"P \.\. '([a-z_]+):?'", SOURCES[verb])
    for function in ("put", "drop", "range", "places", "score", "size_of", "members"):
        named += [found[1] for parts in calls(function, SOURCES[verb]) if (found := re.match(r"'([a-z_]+)", parts[0]))]
    assert set(named) <= table


VERBS = sorted(verb.removesuffix(".lua") for verb in SOURCES if "/" not in verb)
OF_LUA = {"unpack", "ipairs", "pairs", "pcall", "error", "tonumber", "tostring", "type", "select", "setmetatable"}
WORDS_OF_LUA = {"function", "and", "or", "not", "if", "elseif", "return", "while", "in", "until"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_names_the_parts_whose_functions_it_calls(verb: str) -> None:
    """A server would say so only when that line is reached."""
    text = re.sub(r"'(?:\\.|[^'\\])*'|--.*", "", load(verb).text)
    known = set(re.findall(r"local function (\w+)", text))
    known |= {word for words in re.findall(r"function \w*\(([\w, .]*)\)", text) for word in words.split(", ")}
    called = set(re.findall(r"(?<![\w.])([A-Za-z_]\w*)\(", text))
    assert called - known - OF_LUA - WORDS_OF_LUA == set()


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_calls_functions_of_tables_that_are_there(verb: str) -> None:
    text = re.sub(r"'(?:\\.|[^'\\])*'|--.*", "", load(verb).text)
    defined = {name.removeprefix("blocks.") for name in re.findall(r"function (\w[\w.]*\.\w+)\(", text)}
    defined |= set(re.findall(r"function blocks\.(\w+)\(", text))
    called = set(re.findall(r"(?<![\w.])(?:blocks\.)?((?:sources|chains|ranges|pieces_of)\.\w+)\(", text))
    called |= set(re.findall(r"(?<![\w.])blocks\.(\w+)\(", text))
    guarded = {"chains.settle_woken", "needed_no_more", "source_needed_no_more", "move_out", "settle_woken"}
    guarded |= {"left"}  # take_off() of a call of a block: who calls it has blocks.lua
    assert called - defined - guarded == set()


def test_every_part_is_needed_by_some_verb() -> None:
    parts = {part for verb in VERBS for part in parts_of(verb) if verb not in ALONE}
    assert parts == {file.stem for file in (SCRIPTS / "lib").glob("*.lua")}


@pytest.mark.parametrize("script", sorted(SOURCES))
def test_what_a_script_is_given_and_reads_has_names(script: str) -> None:
    """``local status, ticket = unpack(look(...))``, not ``f[1]``; a run that is to end is read as ``run[STATUS]``."""
    numbered = re.findall(r"\b(?:f|run|fields|settlement|ack|call)\[\d+\]", SOURCES[script])
    numbered += re.findall(r"\bARGV\[(?!1\])\d+\]", SOURCES[script])
    numbered += re.findall(r"\bargs\[\d\]", SOURCES[script])
    assert numbered == []
