"""Deployments, schedules and limits as pages: read, and acted on by forms, also where documents are damaged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from orchestrator.client.fleet import Fleet
from orchestrator.concurrency import declared
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.record import KIND
from orchestrator.deployments.schedules import owner_of
from orchestrator.schedules import Cron, Interval
from orchestrator.scheduling import edit
from orchestrator.scheduling.calls import task_template
from orchestrator.scheduling.record import ScheduleRecord
from orchestrator.server import make_app
from orchestrator.submission.call_options import CallOptions
from tests.server.pages.test_pages import hidden_fields, text_of
from tests.support.apps import deployed_flows, ordered_flows


@pytest.fixture
def deployed(own_fleet: Fleet) -> Fleet:
    """A fleet with two deployments, one of them with schedules."""
    ordered_flows.order.to_deployment(
        "nightly",
        schedules=[Cron("0 6 * * *", timezone="Europe/Oslo", slug="mornings"), Interval(60, slug="often")],
        parameters={"city": "Oslo", "api_token": "tok-of-the-deployment"},
        tags=["<i>etl</i>"],
    ).apply()
    deployed_flows.tracker.to_deployment("by-hand").apply()
    return own_fleet


def open_app(fleet: Fleet, **options: Any) -> TestClient:
    """A browser without scripts, on this machine."""
    return TestClient(make_app(fleet, **options), base_url="http://127.0.0.1", client=("127.0.0.1", 5000))


@pytest.fixture
def reader(deployed: Fleet) -> Iterator[TestClient]:
    """Somebody who reads pages and presses buttons."""
    with open_app(deployed) as client:
        yield client


def send(reader: TestClient, path: str, **fields: str) -> httpx.Response:
    """Press a button: the form's fields with the token of the session."""
    token = hidden_fields(reader.get("/limits"))["csrf_token"][0]
    return reader.post(path, data={"csrf_token": token, **fields}, follow_redirects=True)


def the_id(fleet: Fleet, name: str = "order/nightly") -> str:
    return find_deployment(fleet.broker, name).id


def schedule_of(fleet: Fleet, when: str = "0 6 * * *") -> ScheduleRecord:
    """The schedule of the deployment that says so."""
    found = edit.of_owner(fleet, owner_of(the_id(fleet)))
    return next(one for one in found if one.schedule is not None and one.schedule.cron == when)


def form_of(reader: TestClient, path: str) -> dict[str, str]:
    """What a browser would send of a page's form, unchanged."""
    text = reader.get(path).text
    sent = {name: values[0] for name, values in hidden_fields(reader.get(path)).items()}
    for tag in re.findall(r"<input type=\"(?:text|date|password)\"[^>]*>", text):
        if name := re.search(r'name="([^"]+)"', tag):
            sent[name[1]] = unescape(re.search(r'value="([^"]*)"', tag)[1])  # type: ignore[index]
    for name, body in re.findall(r'<textarea name="([^"]+)"[^>]*>\n(.*?)</textarea>', text, re.S):
        sent[name] = unescape(body)
    for name, body in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', text, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', body) or re.search(r'<option value="([^"]*)"', body)
        sent[name] = unescape(chosen[1]) if chosen else ""
    return sent


def test_the_list_has_every_deployment_with_its_schedules_and_leads_to_each(
    reader: TestClient, deployed: Fleet
) -> None:
    page = reader.get("/deployments")
    text = text_of(page)
    assert "order/nightly" in text
    assert "0 6 * * * (Europe/Oslo)" in text
    assert "tracker/by-hand" in text
    assert "<i>etl" not in page.text
    assert f'href="/deployments/{the_id(deployed)}"' in page.text
    assert "tracker/by-hand" not in text_of(reader.get("/deployments?name=NIGHT"))
    assert "No deployment matches." in text_of(reader.get("/deployments?name=nothing"))
    assert reader.get("/deployments?first=-1").status_code == 400


def test_a_deployment_shows_the_next_ten_ticks_in_its_zone_and_in_the_reader_s(
    reader: TestClient, deployed: Fleet
) -> None:
    path = f"/deployments/{the_id(deployed)}"
    page = reader.get(path)
    oslo = page.text.split("In Europe/Oslo", 1)[1].split("</table>")[0]
    assert len(re.findall(r"<tr><td>\w{3} \d{4}-\d\d-\d\d 06:00:00 CES?T</td>", oslo)) == 10
    assert len(re.findall(r"<time datetime=\"[^\"]+Z\" data-here>[^<]*0[45]:00:00 UTC</time>", oslo)) == 10
    chosen = reader.get(path, params={"zone": "Asia/Tokyo"}).text
    assert "In Asia/Tokyo" in chosen
    assert re.search(r"1[34]:00:00 JST</time>", chosen)
    assert "data-here" not in chosen
    wrong = reader.get(path, params={"zone": "Asia/Tokio"})
    assert (wrong.status_code, "Asia/Tokyo" in wrong.text) == (400, True)
    assert "tok-of-the-deployment" not in page.text


def test_a_deployment_is_paused_resumed_and_deleted_by_its_buttons(reader: TestClient, deployed: Fleet) -> None:
    path = f"/deployments/{the_id(deployed)}"
    assert "is paused" in text_of(send(reader, f"{path}/pause"))
    assert find_deployment(deployed.broker, "order/nightly").paused
    assert "make runs again" in text_of(send(reader, f"{path}/resume", back="/deployments"))
    assert not find_deployment(deployed.broker, "order/nightly").paused
    assert "its 2 schedules" in text_of(reader.get(f"{path}/delete"))
    assert "The deployment is deleted" in text_of(send(reader, f"{path}/delete"))
    assert reader.get(path).status_code == 404
    assert send(reader, f"{path}/pause").status_code == 404


def test_the_form_has_a_field_for_each_parameter_and_sent_unchanged_runs_with_the_defaults(
    reader: TestClient, deployed: Fleet
) -> None:
    path = f"/deployments/{the_id(deployed)}/run"
    form = form_of(reader, path)
    assert {name: value for name, value in form.items() if name.startswith("p.")} == {
        "p.city": "Oslo",
        "p.days": "3",
        "p.share": "",
        "p.is_express": "false",
        "p.size": '"small"',
        "p.on": "",
        "p.lines": "[\n  1,\n  2\n]",
        "p.api_token": "",
    }
    text = reader.get(path).text
    assert "tok-of" not in text
    assert "&lt;b&gt;not&lt;/b&gt; a street" in text
    page = text_of(reader.post(path, data=form, follow_redirects=True))
    assert "The run is queued." in page
    assert "city 'Oslo' " in page
    assert "share None" in page


def test_a_value_of_a_wrong_type_is_refused_at_its_field_and_what_was_written_stays(
    reader: TestClient, deployed: Fleet
) -> None:
    path = f"/deployments/{the_id(deployed)}/run"
    form = form_of(reader, path) | {"p.days": "<many>", "p.lines": "[1, ", "p.city": "Rome", "name": "the first"}
    page = reader.post(path, data=form)
    assert page.status_code == 422
    fields: dict[str, str] = dict(re.findall(r'name="p\.(\w+)"(.*?)</div>', page.text, re.S))
    assert "&#39;&lt;many&gt;&#39; is no whole number." in fields["days"]
    assert 'aria-invalid="true"' in fields["days"]
    assert 'value="&lt;many&gt;"' in fields["days"]
    assert "This is no JSON" in fields["lines"]
    assert 'value="Rome"' in fields["city"]
    assert 'value="the first"' in page.text
    lines = reader.post(path, data=form | {"p.days": "4", "p.lines": '["x"]'})
    assert "&#39;x&#39; is not of type &#39;integer&#39;" in lines.text
    needed = reader.post(path, data=form | {"p.days": "4", "p.lines": "[]", "p.size": '"huge"'})
    assert "is none of the choices" in needed.text


def test_a_form_that_is_sent_twice_makes_one_run_with_what_was_written(reader: TestClient, deployed: Fleet) -> None:
    path = f"/deployments/{the_id(deployed)}/run"
    form = form_of(reader, path) | {"p.city": "Rome", "p.days": "9", "name": "the first", "tags": "by hand, urgent"}
    first, second = (reader.post(path, data=form, follow_redirects=True) for _ in range(2))
    assert first.url == second.url
    assert reader.post(path, data=form | {"p.days": "8"}, follow_redirects=True).url != first.url
    text = text_of(first)
    assert "the first" in text
    assert "city 'Rome'" in text
    assert "days 9" in text
    assert "Deployment order/nightly Version 1 Schedule made by hand" in text
    assert "by hand urgent" in text
    assert f'href="/deployments/{the_id(deployed)}"' in first.text


def test_an_earlier_version_is_run_and_rolled_back_to(reader: TestClient, deployed: Fleet) -> None:
    ordered_flows.order.to_deployment("nightly", version="the-second").apply()
    path = f"/deployments/{the_id(deployed)}"
    page = text_of(reader.get(path))
    assert "the-second" in page.split("Versions")[1]
    run = text_of(
        reader.post(f"{path}/run", data=form_of(reader, f"{path}/run") | {"version": "1"}, follow_redirects=True)
    )
    assert "Deployment order/nightly Version 1 " in run
    unknown = reader.post(f"{path}/run", data=form_of(reader, f"{path}/run") | {"version": "7"})
    assert (unknown.status_code, "has no version" in unknown.text) == (422, True)
    assert "instead of version 2" in text_of(reader.get(f"{path}/rollback?to=1"))
    assert find_deployment(deployed.broker, "order/nightly").version_number == 2  # so far it was only asked
    assert "Version 1 is the one that runs now." in text_of(send(reader, f"{path}/rollback", to="1"))
    assert find_deployment(deployed.broker, "order/nightly").version_number == 1
    assert reader.get(f"{path}/rollback?to=x").status_code == 400
    assert send(reader, f"{path}/rollback", to="7").status_code == 404


def test_a_schedule_is_paused_with_a_reason_and_goes_on_from_both_of_its_pages(
    reader: TestClient, deployed: Fleet
) -> None:
    schedule, path = schedule_of(deployed), f"/deployments/{the_id(deployed)}"
    back = send(reader, f"/schedules/{schedule.id}/pause", back=path)
    assert back.url.path == path
    assert "paused by hand" in text_of(back)
    assert not schedule_of(deployed).active
    assert "paused by hand" in text_of(reader.get("/schedules"))
    assert "from its next tick on" in text_of(send(reader, f"/schedules/{schedule.id}/resume", back="//evil.example"))
    assert schedule_of(deployed).active


def test_a_tick_is_taken_out_and_what_is_no_tick_is_refused(reader: TestClient, deployed: Fleet) -> None:
    schedule = schedule_of(deployed)
    path = f"/schedules/{schedule.id}"
    ticks = re.findall(r'name="tick" value="([^"]+)"', reader.get(path).text)
    assert len(ticks) == 10
    assert "Taken out:" in text_of(send(reader, f"{path}/skip", tick=ticks[1]))
    left = re.findall(r'name="tick" value="([^"]+)"', reader.get(path).text)
    assert ticks[1] not in left
    for wrong in ("2026-01-01T00:00:00Z", "yesterday", "2999-01-01T00:00:00"):
        assert send(reader, f"{path}/skip", tick=wrong).status_code == 409


def test_a_schedule_makes_a_run_at_once_and_is_deleted_after_a_question(reader: TestClient, deployed: Fleet) -> None:
    schedule = schedule_of(deployed)
    run = send(reader, f"/schedules/{schedule.id}/trigger")
    assert run.url.path.startswith("/flows/")
    assert "Deployment order/nightly" in text_of(run)
    assert f'href="/schedules/{schedule.id}"' in run.text
    assert "makes no runs any more" in text_of(reader.get(f"/schedules/{schedule.id}/delete"))
    send(reader, f"/schedules/{schedule.id}/delete")
    assert reader.get(f"/schedules/{schedule.id}").status_code == 404
    assert send(reader, f"/schedules/{schedule.id}/pause").status_code == 404


def test_the_calendar_has_the_ticks_of_a_day_and_not_those_of_what_is_paused(
    reader: TestClient, deployed: Fleet
) -> None:
    page = reader.get("/schedules?zone=Europe/Oslo")
    text = text_of(page)
    calendar = text.split("All schedules")[0]
    assert re.search(r"06:00 order/nightly 06:00", calendar)
    assert "Too often to be listed: order/nightly every 0:01:00" in calendar
    send(reader, f"/deployments/{the_id(deployed)}/pause")
    text = text_of(reader.get("/schedules"))
    assert "Nothing is due in the next 24 hours." in text
    assert "Deployment paused" in text


def test_late_and_missed_ticks_are_shown(reader: TestClient, deployed: Fleet) -> None:
    schedule = schedule_of(deployed)
    late = deployed.broker.ticks.now_ms() - 600_000
    deployed.broker.schedules.write(schedule.id, {"m": "7"}, due_ms=late)
    text = text_of(reader.get("/schedules"))
    assert "Late: its tick of 10 min ago has not been fired." in text
    assert "Missed 7" in text_of(reader.get(f"/schedules/{schedule.id}"))


def test_the_schedule_of_a_task_is_listed_and_triggered(reader: TestClient, deployed: Fleet) -> None:
    template, route = task_template(deployed, deployed_flows.double, "mine", (), {"x": 2}, CallOptions())
    edit.apply(deployed, "t:<b>doubling</b>", Cron("@hourly"), template, route, schedule_id="mine")
    page = reader.get("/schedules")
    assert "&lt;b&gt;doubling&lt;/b&gt;" in page.text
    assert "<b>doubling" not in page.text
    assert send(reader, "/schedules/mine/trigger").url.path.startswith("/runs/")


def test_damaged_deployments_and_schedules_are_shown_with_what_is_wrong(reader: TestClient, deployed: Fleet) -> None:
    deployment, schedule = the_id(deployed), schedule_of(deployed)
    deployed.broker.documents.write(KIND, deployment, {"d": b"\xc1\xff", "v": b"x"})
    deployed.broker.schedules.write(schedule.id, {"s": b"\xc1\xff", "b": b"\xc1", "l": b"x", "x": b"\xc1", "m": b"-"})
    for path in ("/deployments", f"/deployments/{deployment}", f"/deployments/{deployment}/run"):
        assert "damaged" in text_of(reader.get(path)), path
    for path in ("/schedules", f"/schedules/{schedule.id}"):
        text = text_of(reader.get(path))
        assert "Left alone" in text, path
        assert "damaged" in text, path
    assert send(reader, f"/schedules/{schedule.id}/resume").status_code == 409
    assert send(reader, f"/schedules/{schedule.id}/trigger").status_code == 409
    assert send(reader, f"/schedules/{schedule.id}/pause").status_code == 200
    assert send(reader, f"/deployments/{deployment}/run", once="1").status_code == 409


@pytest.mark.parametrize(
    "schema", [[], {"properties": []}, {"properties": {"x": 1, "y": {"$ref": 1}, "z": {"anyOf": 1}}}]
)
def test_a_schema_that_is_none_makes_a_form_without_what_cannot_be_read(
    reader: TestClient, deployed: Fleet, schema: Any
) -> None:
    record = find_deployment(deployed.broker, "order/nightly")
    deployed.broker.documents.write(KIND, record.id, replace(record, parameter_schema=schema).document())
    path = f"/deployments/{record.id}/run"
    assert reader.get(path).status_code == 200
    assert reader.post(path, data=form_of(reader, path)).status_code in (303, 422)


def test_limits_show_their_sizes_their_holders_and_who_waits_and_are_changed(
    reader: TestClient, deployed: Fleet
) -> None:
    declared.declare(deployed, "<b>database</b>", limit=1)
    for lease in ("lease-of-the-first", "lease-of-the-second"):
        deployed.broker.limits.acquire(lease, ["<b>database</b>"], 1, 60)
    page = reader.get("/limits")
    assert "<b>database" not in page.text
    text = text_of(page)
    assert re.search(r"<b>database</b> 1 Set block …he-first", text), text
    assert re.search(r"ago|now 1", text)
    assert "The limit has 5 places now." in text_of(send(reader, "/limits/change", name="<b>database</b>", limit="5"))
    assert declared.declared(deployed, ["<b>database</b>"])[0].limit == 5  # type: ignore[union-attr]
    wrong = send(reader, "/limits/change", name="<b>database</b>", limit="-1")
    assert (wrong.status_code, "is no number of places" in wrong.text) == (422, True)
    assert "holds nobody up" in text_of(send(reader, "/limits/disable", name="<b>database</b>"))
    assert "The limit holds again." in text_of(send(reader, "/limits/enable", name="<b>database</b>"))
    assert "that wait under it go on" in text_of(reader.get("/limits/delete", params={"name": "<b>database</b>"}))
    assert "The limit is deleted." in text_of(send(reader, "/limits/delete", name="<b>database</b>"))
    assert send(reader, "/limits/change", name="<b>database</b>", limit="5").status_code == 404


def test_a_limit_is_declared_and_not_twice(reader: TestClient, deployed: Fleet) -> None:
    assert "has 3 places" in text_of(send(reader, "/limits/change", new="1", name="api", limit="3", decay="0.5"))
    assert declared.declared(deployed, ["api"])[0].slot_decay_per_second == 0.5  # type: ignore[union-attr]
    again = send(reader, "/limits/change", new="1", name="api", limit="4")
    assert again.status_code == 409
    nameless = send(reader, "/limits/change", new="1", name="", limit="4")
    assert nameless.status_code == 422


def test_a_read_only_server_shows_everything_and_does_nothing(deployed: Fleet) -> None:
    deployment, schedule = the_id(deployed), schedule_of(deployed)
    declared.declare(deployed, "database", limit=1)
    paths = ("/deployments", f"/deployments/{deployment}", f"/deployments/{deployment}/run", "/schedules",
             f"/schedules/{schedule.id}", "/limits")  # fmt: skip
    with open_app(deployed, read_only=True) as reader:
        for path in paths:
            page = reader.get(path)
            assert page.status_code == 200, path
            assert not re.search(
                r"<button[^>]*>(Pause|Resume|Run|Run now|Skip|Set|Disable|Declare a limit)<", page.text
            )
        token = re.search(r'name="csrf_token" value="([^"]+)"', reader.get(f"/deployments/{deployment}/run").text)
        assert token
        for path in (f"/deployments/{deployment}/pause", f"/deployments/{deployment}/run",
                     f"/deployments/{deployment}/rollback", f"/deployments/{deployment}/delete",
                     f"/schedules/{schedule.id}/pause", f"/schedules/{schedule.id}/trigger",
                     "/limits/change"):  # fmt: skip
            assert reader.post(path, data={"csrf_token": token[1], "to": "1"}).status_code == 403, path
    assert schedule_of(deployed).active


def test_a_button_without_the_token_of_the_session_does_nothing(reader: TestClient, deployed: Fleet) -> None:
    reader.get("/deployments")
    assert reader.post(f"/deployments/{the_id(deployed)}/pause").status_code == 403
    assert not find_deployment(deployed.broker, "order/nightly").paused
