"""Charts, timelines and graphs are well-formed, say what they show, and take names as text; filters read addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from markupsafe import Markup
from starlette.datastructures import ImmutableMultiDict

from orchestrator.inspection import RunView
from orchestrator.server.pages.charts import ends_chart, wait_chart
from orchestrator.server.pages.filters import address, fields_of, query_of
from orchestrator.server.pages.graph import dependency_graph
from orchestrator.server.pages.timeline import MAX_ROWS, Lane, lanes_of, timeline
from orchestrator.server.view_models import Bucket, RunQuery, TaskGroup

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NASTY = '"><script>alert(1)</script>&'


def parsed(picture: Markup) -> ElementTree.Element:
    """The picture as a browser that forgives nothing reads it."""
    return ElementTree.fromstring(str(picture))


def seconds(number: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=number)


def a_group(task: str, *after: str, ended: float | None = 9.0, **states: int) -> TaskGroup:
    """Runs of a task that began a second after noon."""
    return TaskGroup(task, states, seconds(0), seconds(1), seconds(ended) if ended else None, [], after)


def a_run(task: str, number: int) -> RunView:
    """A run that was submitted at noon and ran from second 1 to 2."""
    moments = (seconds(0), seconds(1), seconds(2), None)
    counts = (1, 0, 0, 0)
    place = ("default", "default", ())
    return RunView(f"run/{number}", task, "COMPLETED", "Completed", None, *place, *moments, *counts, None, None, None)


def test_a_chart_of_nothing_is_an_empty_frame() -> None:
    assert "0 in all" in parsed(ends_chart([], 60)).attrib["aria-label"]
    assert parsed(wait_chart([Bucket(NOON)] * 5, 60)).findall(".//path") == []


def test_a_chart_of_ends_has_a_bar_for_each_kind_and_says_the_sums() -> None:
    picture = parsed(ends_chart([Bucket(NOON), Bucket(seconds(60), completed=90, failed=9, crashed=1)], 60))
    assert picture.attrib["aria-label"] == "Runs that ended per 1 min: 100 in all, 10 of them failed or crashed"
    bars = [bar for bar in picture.iter("rect") if "fill" in bar.attrib["class"]]
    assert [bar.attrib["class"] for bar in bars] == ["fill tone-completed", "fill tone-failed", "fill tone-crashed"]
    heights = [float(bar.attrib["height"]) for bar in bars]
    assert heights[0] == pytest.approx(10 * heights[1], rel=0.01)


def test_a_line_of_waits_is_broken_where_nothing_ran() -> None:
    waits = [0.5, 1.0, None, 2.0, 3.0]
    buckets = [Bucket(seconds(10 * at), wait_seconds=wait, longest_wait_seconds=wait) for at, wait in enumerate(waits)]
    lines = [path for path in parsed(wait_chart(buckets, 10)).iter("path") if path.attrib["class"] == "mean"]
    assert len(lines) == 2


def test_a_map_of_thousands_is_one_row_that_leads_to_its_runs() -> None:
    groups = [a_group("load", COMPLETED=2), a_group("check", COMPLETED=9_990, FAILED=10)]
    runs = [a_run("load", 1), a_run("load", 2), *(a_run("check", number) for number in range(50))]
    lanes = lanes_of(groups, runs, None, "/root", "/root/flows/f")
    assert [lane.label for lane in lanes] == ["load", "load", "check × 10,000"]
    assert lanes[0].link == "/root/runs/run%2F1"
    assert lanes[2].link == "/root/flows/f?open=check#runs"
    assert (lanes[2].summary, lanes[2].has_failures) == ("9,990 completed, 10 failed", True)
    assert len(lanes_of(groups, runs, "check", "", "")) == 52


def test_a_timeline_draws_work_in_proportion_and_goes_on_until_now() -> None:
    done = Lane("done", "Completed", "COMPLETED", seconds(0), seconds(0), seconds(5), "/a")
    open_ = Lane("open", "Running", "RUNNING", seconds(0), seconds(5), None, "/b")
    bars = [bar for bar in parsed(timeline([done, open_], seconds(10))).iter("rect") if "fill" in bar.attrib["class"]]
    places = [(float(bar.attrib["x"]), float(bar.attrib["width"])) for bar in bars]
    assert places[0][1] == pytest.approx(places[-1][1])
    assert places[-1][0] == pytest.approx(sum(places[0]))


def test_a_timeline_without_a_beginning_is_nothing_and_a_long_one_is_cut() -> None:
    assert timeline([Lane("a", "", "PENDING", None, None, None, "/")], NOON) == ""
    many = [Lane(str(n), "", "COMPLETED", seconds(n), seconds(n), seconds(n + 1), "/") for n in range(1_000)]
    assert len(parsed(timeline(many, seconds(2_000))).findall("a")) == MAX_ROWS


def test_a_graph_has_an_arrow_for_each_dependency_and_ends_on_a_circle_of_them() -> None:
    groups = [a_group("a", "c", COMPLETED=1), a_group("b", "a", COMPLETED=1), a_group("c", "b", "c", FAILED=2)]
    picture = parsed(dependency_graph(groups, "", "f"))
    arrows = [path for path in picture.iter("path") if path.attrib["class"] == "edge"]
    assert len(arrows) == 3
    assert dependency_graph([], "", "f") == ""


def test_names_are_text_in_every_picture() -> None:
    lane = Lane(NASTY, NASTY, NASTY, seconds(0), seconds(1), seconds(2), f"/runs/{NASTY}")
    groups = [a_group(NASTY, COMPLETED=1), a_group("other", NASTY, COMPLETED=1)]
    for picture in (timeline([lane], NOON), dependency_graph(groups, "", NASTY)):
        assert "<script" not in picture
        assert NASTY in "".join(parsed(picture).itertext())


def test_an_address_says_which_runs_are_meant() -> None:
    asked = ImmutableMultiDict(
        [
            ("state", "FAILED"),
            ("state", "CRASHED"),
            ("task", "charge"),
            ("tag", "a, b"),
            ("last", "1h"),
            ("text", " x "),
        ]
    )
    query = query_of(asked, {"tasks": ["shop.charge"]}, NOON)
    assert query == RunQuery(
        states=("FAILED", "CRASHED"), tasks=("*charge*",), tags=("a", "b"), since=NOON - timedelta(hours=1), text="x"
    )
    assert query_of(ImmutableMultiDict([("task", "shop.charge")]), {"tasks": ["shop.charge"]}).tasks == ("shop.charge",)


def test_times_are_utc_and_one_that_cannot_be_read_is_left_out() -> None:
    assert query_of(ImmutableMultiDict(since="2026-01-01T12:00")).since == NOON
    assert query_of(ImmutableMultiDict(since="2026-01-01T13:00+01:00")).since == NOON
    assert query_of(ImmutableMultiDict(since="yesterday", state="", queue=" ")).is_all


def test_a_filter_goes_back_into_the_address_as_it_came() -> None:
    pairs = [("state", "FAILED"), ("state", "CRASHED"), ("text", "a&b=c")]
    asked = ImmutableMultiDict([*pairs, ("before", "9"), ("task", "")])
    assert fields_of(asked) == pairs
    assert address("/runs", pairs) == "/runs?state=FAILED&state=CRASHED&text=a%26b%3Dc"
