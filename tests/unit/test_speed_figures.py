"""The parts of ``benchmarks.speed`` that need no server and no peer."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import stages
from benchmarks.peers.rig import OURS
from benchmarks.speed import figures, machine, plots, report, run, systems, targets
from benchmarks.speed.figures import (
    FIGURES,
    Spread,
    calls_for,
    ideal_makespan,
    linearity,
    percentile,
    ratio,
    skewed,
    spread,
)
from benchmarks.speed.machine import cpu_model, in_words
from benchmarks.speed.results import Best, Results
from benchmarks.speed.run import Plan
from benchmarks.speed.systems import APPS, BARE, SYSTEMS
from benchmarks.stages import STAGES, Stopwatch, as_table, least

MACHINE = {
    "date": "2026-11-21",
    "cpu": "A CPU",
    "cores": 2,
    "memory_gb": 8,
    "kernel": "Linux",
    "python": "3.11",
    "server": "Valkey 9.1",
    "load_before": 0.1,
    "versions": {"orchestrator": "0.1"},
}
FACTS = {"machine": MACHINE, "rounds": 3, "settings": {OURS: "defaults", "rq": "a fork each"}, "missing": ["saq: away"]}


def results(**values: dict[str, list[float]]) -> Results:
    return Results(dict(FACTS), values)


# -- figures -----------------------------------------------------------------------------------------------------------


def test_the_middle_of_an_even_number_of_rounds_is_between_two() -> None:
    assert spread([4.0, 1.0, 2.0, 3.0]) == Spread(2.5, 1.0, 4.0)


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 2), (51, 3), (99, 4), (100, 4)])
def test_a_percentile_is_one_of_the_values(percent: float, value: int) -> None:
    assert percentile([4, 3, 2, 1], percent) == value


def test_a_ratio_above_one_is_better_in_either_direction() -> None:
    assert ratio(FIGURES["drain"], 10_000, 1_000) == 10
    assert ratio(FIGURES["round_trip_p50"], 1.0, 2.5) == 2.5
    assert ratio(FIGURES["idle_cpu"], 0.5, 0.25) == 0.5
    assert ratio(FIGURES["idle_cpu"], 0.0, 0.25) == float("inf")


@pytest.mark.parametrize(
    ("rate", "seconds", "calls"), [(577.0, 1.0, 570), (25_000.0, 1.0, 20_000), (9.0, 1.0, 50), (640.0, 0.1, 64)]
)
def test_a_slow_system_gets_as_many_calls_as_it_can_do_in_the_time(rate: float, seconds: float, calls: int) -> None:
    assert calls_for(rate, seconds, 50, 20_000) == calls


def test_the_ideal_of_equal_tasks_is_their_share() -> None:
    assert ideal_makespan([0.01] * 100, 4) == pytest.approx(0.25)


def test_the_ideal_keeps_the_order_of_the_queue() -> None:
    assert ideal_makespan([1.0, 1.0, 5.0], 2) == 6.0  # not 5: nobody knows beforehand that the last one is long


def test_the_ideal_of_skewed_tasks_leaves_no_place_idle_while_calls_wait() -> None:
    durations = skewed(300, 0.001, 1.0)
    assert sum(duration == 1.0 for duration in durations) == 3
    assert sum(durations) / 2 <= ideal_makespan(durations, 2) <= sum(durations) / 2 + 1.0


def test_four_processes_that_do_what_two_should_are_half_linear() -> None:
    assert linearity(100.0, 200.0, 4) == 0.5


# -- results and targets -----------------------------------------------------------------------------------------------


def test_results_are_read_back_from_their_file(tmp_path: Path) -> None:
    found = results()
    for value in (3.0, 1.0, 2.0):
        found.add("rq", {"drain": value})
    file = tmp_path / "speed.json"
    file.write_text(found.as_json())
    read = Results.read(file)
    assert read.spread("drain", "rq") == Spread(2.0, 1.0, 3.0)
    assert read.facts == FACTS
    assert read.median("drain") is None


def test_the_best_peer_is_the_fastest_or_the_one_that_takes_least() -> None:
    found = results(
        drain={OURS: [9.0], BARE: [99.0], "rq": [1.0], "huey": [3.0]},
        round_trip_p50={OURS: [1.0], "rq": [6.0], "huey": [2.0]},
        fan_out={"bullmq": [8.0], "huey": [3.0]},
    )
    assert found.best_peer("drain") == Best("huey", 3.0)
    assert found.best_peer("round_trip_p50") == Best("huey", 2.0)
    assert found.best_peer("fan_out") == Best("bullmq", 8.0)
    assert found.best_peer("fan_out", targets.PYTHON) == Best("huey", 3.0)
    assert found.best_peer("send") is None


def test_what_must_be_reached_is_told_with_what_is_asked_and_what_was_measured() -> None:
    found = results(
        drain={OURS: [20_000.0], BARE: [50_000.0], "huey": [1_900.0]},
        fan_out={OURS: [30_000.0], "huey": [2_500.0], "bullmq": [3_000.0]},
        round_trip_p50={OURS: [0.9]},
        sleepers_1={OURS: [90.0]},
        sleepers_4={OURS: [306.0]},
    )
    rows = {row[0]: row[1:] for row in targets.rows(found)}
    assert rows["drain of singly sent calls, times the best Python peer"] == (
        "at least 8 x",
        "10.5 x (20,000 against 1,900 calls/s of Huey)",
        "reached",
    )
    assert rows["fan-out: map and all results, times the best Python peer"] == (
        "at least 15 x",
        "12.0 x (30,000 against 2,500 calls/s of Huey)",
        "**not reached**",
    )
    assert rows["fan-out: map and all results, times BullMQ"] == (
        "at least 8 x",
        "10.0 x (30,000 against 3,000 calls/s of BullMQ)",
        "reached",
    )
    assert rows["drain of singly sent calls, of the bare limit"] == (
        "at least 0.5 x",
        "0.40 x (20,000 against 50,000 calls/s)",
        "**not reached**",
    )
    assert rows["round trip, median"] == ("at most 1 ms", "0.90 ms", "reached")
    assert rows["sleepers: what is left of linear, from 1 to 4 processes"][2] == "**not reached**"
    assert rows["large map: peak of the client"] == ("at most 150 MB", "not measured", "")


def test_handlers_are_compared_with_handlers_of_their_kind() -> None:
    found = results(
        send_threads={OURS: [6_000.0], "huey": [2_000.0]},
        send_asyncio={OURS: [9_000.0], "saq": [1_000.0], "bullmq": [3_000.0]},
    )
    rows = {row[0]: row[2] for row in targets.rows(found)}
    assert rows["`.delay` from 64 threads, times the best peer's"] == "3.00 x (6,000 against 2,000 calls/s of Huey)"
    assert (
        rows["`adelay` from 64 coroutines, times the best peer's"] == "3.00 x (9,000 against 3,000 calls/s of BullMQ)"
    )


@pytest.mark.parametrize(("calls", "told"), [(1_000_000, "39.0 s"), (20_000, "not measured")])
def test_the_seconds_of_a_million_are_not_those_of_fewer(calls: int, told: str) -> None:
    found = results(million_seconds={OURS: [39.0]}, million_calls={OURS: [calls]})
    rows = {row[0]: row[2] for row in targets.rows(found)}
    assert rows["map of 1,000,000, from its call to the last result"] == told


@pytest.mark.parametrize(("value", "at_least", "at_most"), [(1.0, True, True), (1.1, True, False), (0.9, False, True)])
def test_a_value_is_reached_from_the_right_side(value: float, at_least: bool, at_most: bool) -> None:
    asked = targets.TARGETS[0]._replace(asked=1.0)
    assert asked._replace(at_least=True).is_reached(value) is at_least
    assert asked._replace(at_least=False).is_reached(value) is at_most


# -- tables and pictures -----------------------------------------------------------------------------------------------


def test_the_wide_table_has_a_column_for_each_system_and_says_how_many_times_better_we_are() -> None:
    found = results(drain={OURS: [9_000.0], BARE: [18_000.0], "rq": [300.0]}, round_trip_p50={OURS: [1.0], "rq": [4.0]})
    assert report.wide(found).splitlines() == [
        "|  | orchestrator | RQ | bare limit |",
        "|---|--:|--:|--:|",
        "| drain of singly sent calls, calls/s | **9,000** | 300 (30x) | 18,000 (0.50x) |",
        "| round trip, median, ms | **1.00** | 4.00 (4.0x) |  |",
    ]


def test_the_page_has_everything_and_hides_nothing_that_is_missing() -> None:
    page = report.page(results(drain={OURS: [2.0, 1.0, 4.0], "rq": [1.0]}), ["speed_throughput.png"])
    assert "A CPU, 2 cores" in page
    assert "| drain of singly sent calls, calls/s | orchestrator | 2 | 1 | 4 | 3 |  |" in page
    assert "| drain of singly sent calls, calls/s | RQ | 1 | 1 | 1 | 1 | 2.00 |" in page
    assert "- RQ: a fork each." in page
    assert "- saq: away" in page
    assert "![speed_throughput.png](speed_throughput.png)" in page


def test_a_part_goes_between_its_marks_and_nowhere_else() -> None:
    page = "a\n<!-- speed wide begins -->\nold\n<!-- speed wide ends -->\nb\n"
    assert report.on_page(page, "wide", "new") == page.replace("old", "new")
    assert report.on_page(page, "targets", "new") == page


def test_pictures_are_drawn_of_what_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = results(
        drain={OURS: [9_000.0, 9_500.0], BARE: [18_000.0], "rq": [30.0]},
        round_trip_p50={OURS: [1.0], "rq": [4.0]},
        idle_cpu={OURS: [0.5]},  # alone: nothing to compare
        sleepers_1={OURS: [99.0]},
        sleepers_2={OURS: [198.0]},
        sleepers_4={OURS: [390.0]},
    )
    names = ["speed_throughput", "speed_latency", "speed_scaling"]
    assert plots.draw(found, tmp_path) == [f"{name}.png" for name in names]
    assert {file.name for file in tmp_path.iterdir()} == {f"{name}.{kind}" for name in names for kind in plots.FORMATS}
    assert "orchestrator" in (tmp_path / "speed_throughput.svg").read_text()


@pytest.mark.parametrize("module", [figures, machine, plots, report, stages, systems], ids=lambda one: one.__name__)
def test_the_examples_in_docstrings_are_true(module: ModuleType) -> None:
    done = doctest.testmod(module)
    assert done.failed == 0
    assert done.attempted > 0


# -- machine, apps, stages ---------------------------------------------------------------------------------------------


def test_the_machine_is_named_by_its_first_processor() -> None:
    assert cpu_model("processor\t: 0\nmodel name\t: A\nmodel name\t: B\n") == "A"
    assert cpu_model("") != ""
    assert in_words(MACHINE).startswith("2026-11-21, A CPU, 2 cores, 8 GB, Linux, Python 3.11, Valkey 9.1")


@pytest.mark.parametrize(("load", "quiet"), [(0.0, True), (0.3, True), (0.31, False), (4.22, False)])
def test_a_page_says_in_words_that_the_machine_was_busy_when_the_run_began(load: float, quiet: bool) -> None:
    found = Results({**FACTS, "machine": {**MACHINE, "load_before": load}})
    for page in (report.machine(found), report.page(found)):
        assert f"load before the run {load:g}." in page
        assert ("was not quiet when the run began" not in page) is quiet


def test_the_page_names_the_peers_that_a_run_was_without() -> None:
    everyone = {**FACTS, "settings": dict.fromkeys(SYSTEMS, "defaults")}
    assert "Without" not in report.machine(Results(everyone))
    settings = {name: "defaults" for name in SYSTEMS if name != "bullmq"}
    assert report.machine(Results({**FACTS, "settings": settings})).endswith(
        "\nWithout BullMQ: not measured in this run."
    )
    assert "Without" not in report.machine(Results({**FACTS, "settings": {OURS: "defaults"}})), "a run of ours alone"


def test_a_machine_without_node_measures_the_others_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    whole = run.Run(Plan(systems=SYSTEMS))
    plan = whole._without_missing()
    assert list(plan.systems) == [name for name in SYSTEMS if name != "bullmq"]
    assert whole._missing == ["bullmq: node and npm not found on this machine"]


PYTHON_SYSTEMS = [name for name in SYSTEMS if name == OURS or name in targets.PYTHON]


def test_an_app_of_node_answers_the_same_questions() -> None:
    app, client = ((APPS / name).read_text() for name in ("on_bullmq.mjs", "client.mjs"))
    for name in ("settings", "worker", "send", "sendMany", "collect", "result", "isReady"):
        assert re.search(rf"^export (async )?function {name}\(", app, re.MULTILINE), name
    for question in re.findall(r"^    def ([a-z]\w+)\(", (APPS / "client.py").read_text(), re.MULTILINE):
        assert re.search(rf"^  (async )?{question}\(", client, re.MULTILINE), question


@pytest.mark.parametrize("name", PYTHON_SYSTEMS)
def test_every_system_has_an_app_that_answers_the_same_questions(name: str) -> None:
    tree = ast.parse((APPS / f"on_{name}.py").read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    asked = {"send": 1, "send_many": 2, "collect": 1, "result": 1, "is_ready": 1}
    assert {"settings", "worker", *asked} <= functions.keys()
    assert len(functions["worker"].args.args) == 2
    kinds = {type(functions[verb]) for verb in asked}
    assert len(kinds) == 1, "all of them are coroutine functions, or none"
    assert all(len(functions[verb].args.args) >= count for verb, count in asked.items())


def test_a_stage_inside_another_does_not_count_for_the_outer() -> None:
    now = 0.0

    def spend(seconds: float) -> None:
        nonlocal now
        now += seconds

    watch = Stopwatch(lambda: now)
    inner = watch.timed("inner", lambda: spend(2.0))

    def both() -> None:
        spend(1.0)
        inner()
        inner()

    watch.timed("outer", both)()
    assert watch.seconds == {"outer": 1.0, "inner": 4.0}


def test_what_was_wrapped_is_put_back_when_the_work_fails() -> None:
    class Owner:
        def work(self) -> None:
            raise ValueError

    before, watch = Owner.work, Stopwatch()
    with pytest.raises(ValueError), watch.watching((Owner, "work", "stage")):  # noqa: PT011
        Owner().work()
    assert Owner.work is before
    assert set(watch.seconds) == {"stage"}


def test_the_table_of_stages_adds_up_each_side_without_its_waiting() -> None:
    rows = as_table({"bind": 1.0, "pack": 2.0, "submit: waiting": 99.0}, least([{"fetch": 3.0}, {"fetch": 2.0}]))
    lines = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows.splitlines()]
    assert len(lines) == len(STAGES) + 5
    assert ["**client in all, without waiting**", "client", "3.0", "", ""] in lines
    assert ["**worker in all, without waiting**", "worker", "", "2.0", ""] in lines
