"""The parts of ``benchmarks.peers`` that need no peer."""

from __future__ import annotations

import ast
import doctest
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import environments, report
from benchmarks.peers.environments import FAULTS_ASKED, PEERS, Peer, folder_of, interpreter_of, missing_for
from benchmarks.peers.questions import Answer
from benchmarks.peers.reply_cutter import name_of
from benchmarks.peers.rig import APPS, OURS


@pytest.mark.parametrize("peer", PEERS.values(), ids=lambda peer: peer.name)
def test_every_requirement_of_a_peer_is_pinned(peer: Peer) -> None:
    assert len(peer.pins) == len(peer.requirements)
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in peer.pins.values())


@pytest.mark.parametrize("name", [OURS, *FAULTS_ASKED])
def test_every_system_has_an_app_that_answers_the_same_questions(name: str) -> None:
    tree = ast.parse((APPS / f"on_{name}.py").read_text())
    functions = {node.name: len(node.args.args) for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {"settings", "worker", "send", "state"} <= functions.keys()
    assert (functions["settings"], functions["worker"], functions["state"]) == (0, 1, 1)


def test_another_version_of_a_peer_is_another_environment() -> None:
    peer = PEERS["rq"]
    assert folder_of(peer) == folder_of(peer)
    assert folder_of(peer) != folder_of(peer._replace(requirements=("rq==0.1",)))


def test_an_environment_is_made_again_if_it_was_not_finished_and_used_again_if_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []  # whether nothing of an earlier try was there

    def make(folder: Path, peer: Peer) -> None:
        made.append(not folder.exists())
        folder.mkdir()
        (folder / "half").touch()
        if len(made) == 1:
            raise RuntimeError("the network is away")

    monkeypatch.setattr(environments, "FOLDER", tmp_path / "peers")
    monkeypatch.setattr(environments, "_make", make)
    with pytest.raises(RuntimeError, match="away"):
        interpreter_of(PEERS["rq"])
    assert interpreter_of(PEERS["rq"]) == interpreter_of(PEERS["rq"])
    assert made == [True, True]


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_a_peer_of_npm_is_installed_by_npm_with_its_exact_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, locked = tmp_path / "bin", tmp_path / "lock.json"
    programs.mkdir()
    places = {"": "0", "node_modules/@a/queue": "1.2.3", "node_modules/@a/queue/node_modules/tslib": "2.0.0"}
    locked.write_text(json.dumps({"packages": {place: {"version": version} for place, version in places.items()}}))
    program(programs, "node", "echo v20.1.0")
    program(programs, "npm", f'echo "$@" >> {tmp_path}/asked; {shutil.which("cp")} {locked} "$3/package-lock.json"')
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "peers")
    peer = Peer("aqueue", "A queue", ("@a/queue@1.2.3",), "npm")
    assert environments.versions_of(peer) == {"node": "20.1.0", "@a/queue": "1.2.3", "tslib": "2.0.0"}
    assert interpreter_of(peer) == programs / "node"
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert asked.startswith(f"install --prefix {folder_of(peer)} --save-exact ")
    assert asked.endswith(" @a/queue@1.2.3")
    before = folder_of(peer)
    program(programs, "node", "echo v22.0.0")
    assert folder_of(peer) != before, "another Node is another environment"


def test_without_node_a_peer_of_npm_is_missing_and_the_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [name for name, peer in PEERS.items() if missing_for(peer)] == ["bullmq"]
    with pytest.raises(RuntimeError, match="node is not on the PATH"):
        interpreter_of(PEERS["bullmq"])


def test_the_examples_in_docstrings_are_true() -> None:
    done = doctest.testmod(environments)
    assert (done.failed, done.attempted > 0) == (0, True)


def test_an_installer_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match=r"ended with 3: no such thing"):
        environments._run("/bin/sh", "-c", "echo no such thing >&2; exit 3")


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b"*2\r\n$4\r\nllen\r\n$1\r\nq\r\n", "LLEN"),
        (b"*1\r\n$4\r\nPING\r\n*1\r\n$5\r\nMULTI\r\n", "PING"),
        (b"rest of a value\r\n*1\r\n", ""),
        (b"", ""),
    ],
)
def test_the_name_of_a_command(sent: bytes, name: str) -> None:
    assert name_of(sent) == name


def answer(question: str, runs: int, seconds: float | None, state: str, **more: Any) -> Answer:
    facts = {"others": (20, 20), "watched_seconds": 95.1, **more}
    return Answer("celery", "tuned", question, runs, seconds, state, **facts)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer("cut", 1, 4.4, "done"), "run after 4.4 s; done; others 20 of 20"),
        (answer("cut", 2, 4.4, "done"), "run after 4.4 s, twice in all; done; others 20 of 20"),
        (answer("cut", 0, None, "queued", others=(3, 94)), "not run within 95 s; queued; others 3 of 94"),
        (answer("kill", 2, 9.6, "done"), "run again after 9.6 s; done; others 20 of 20"),
        (answer("kill", 3, 9.6, "done"), "run again after 9.6 s, 3 times in all; done; others 20 of 20"),
        (answer("kill", 1, None, "unacknowledged"), "not run again within 95 s; unacknowledged; others 20 of 20"),
        (
            answer("poison", 12, 31.4, "queued", others=(13, 20), detail="7 queued", restarts=1),
            "run 12 times in 95 s, last after 31 s; queued; others 13 of 20 (7 queued); "
            "the worker ended once and was started again",
        ),
        (answer("poison", 1, 0.2, "failed"), "run once in 95 s; failed; others 20 of 20"),
    ],
)
def test_an_answer_in_words(given: Answer, words: str) -> None:
    assert report.told(given) == words


def test_the_table_has_a_row_for_everyone_and_hides_no_missing_answer() -> None:
    facts = {
        "answers": [
            answer("cut", 1, 4.4, "done")._asdict(),
            answer("poison", 1, 0.2, "done")._replace(system=OURS, settings="documented")._asdict(),
        ],
        "settings": [[OURS, "documented", "defaults"], ["celery", "tuned", "short limits"]],
        "versions": {OURS: {OURS: "1.0"}, "celery": {"celery": "5.7.0", "vine": "5"}},
        "python": "3.11",
        "server": "Valkey 9.1.0",
        "date": "2026-11-21",
        "machine": "Linux, 2 cores",
        "cells_at_a_time": 5,
    }
    table = report.as_markdown(facts).splitlines()
    assert table[2] == "| **orchestrator** | no answer | run once in 95 s; done; others 20 of 20 |"
    assert table[3] == "| Celery, tuned | run after 4.4 s; done; others 20 of 20 | no answer |"
    assert "- Celery, tuned: short limits." in table
    assert "Versions: orchestrator 1.0, celery 5.7.0, Python 3.11, Valkey 9.1.0." in table


def test_the_table_goes_between_the_marks_of_the_page_and_nowhere_else() -> None:
    page = f"above\n{report.BEGIN}old{report.END}\nbelow\n"
    assert report.on_page(page, "new") == f"above\n{report.BEGIN}new{report.END}\nbelow\n"
    with pytest.raises(ValueError, match="no place for the table"):
        report.on_page("a page without marks", "new")
