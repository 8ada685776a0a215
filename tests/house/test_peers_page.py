"""``docs/peers.md`` shows what the script has printed, whole and unchanged."""

from __future__ import annotations

import json

from benchmarks.peers import report
from benchmarks.peers.environments import FAULTS_ASKED, PEERS
from benchmarks.peers.questions import QUESTIONS


def test_the_page_shows_the_kept_answers_as_the_script_prints_them() -> None:
    page = report.PAGE.read_text()
    table = report.as_markdown(json.loads(report.RESULTS.read_text()))
    assert f"{report.BEGIN}{table}{report.END}" in page, "run python -m benchmarks.peers.report"


def test_nobody_is_left_out_of_the_kept_answers() -> None:
    facts = json.loads(report.RESULTS.read_text())
    asked = [(system, settings) for system, settings, _ in facts["settings"]]
    assert {system for system, _ in asked} >= set(FAULTS_ASKED)
    answered = {(row["system"], row["settings"], row["question"]) for row in facts["answers"]}
    assert answered == {(*system, question) for system in asked for question in QUESTIONS}


def test_the_kept_answers_are_of_the_versions_in_the_table_of_environments() -> None:
    installed = json.loads(report.RESULTS.read_text())["versions"]
    for peer in map(PEERS.__getitem__, FAULTS_ASKED):
        for requirement in peer.requirements:
            name, _, version = requirement.partition("==")
            assert installed[peer.name][name.partition("[")[0]] == version
