"""The screens as text, over a real fleet: each answers, shows what is there, escapes it, and obeys its buttons."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from orchestrator.client.fleet import Fleet
from orchestrator.settings import Settings
from tests.server.pages.conftest import Shop, Site
from tests.support.servers import ServerProcess
from tests.support.site import served
from tests.support.waiting import wait_until

SCREENS = (
    "/", "/runs", "/flows", "/deployments", "/schedules", "/queues", "/workers", "/work-pools", "/limits", "/artifacts",
    "/blocks", "/variables", "/scheduled", "/dead", "/about",
)  # fmt: skip


@pytest.fixture
def reader(shop: Shop) -> Iterator[httpx.Client]:
    """Somebody at a browser without scripts."""
    with shop.site.client() as client:
        yield client


def text_of(page: httpx.Response) -> str:
    """What is read: without tags, in single spaces."""
    assert page.status_code in (200, 286), page.text[:2000]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def token_in(page: httpx.Response) -> str:
    """The token in the page's forms."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found, page.text[:2000]
    return found[1]


def send(reader: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Press a button: the form's fields with the token of the session."""
    token = token_in(reader.get("/queues"))
    return reader.post(path, data={"csrf_token": token, **fields}, follow_redirects=True)


def hidden_fields(page: httpx.Response) -> dict[str, list[str]]:
    """What the page's form sends along, the token of the session included."""
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text):
        fields.setdefault(name, []).append(unescape(value))
    return fields


@pytest.mark.parametrize("path", SCREENS)
def test_every_screen_answers_with_the_rail_and_its_own_entry_marked(reader: httpx.Client, path: str) -> None:
    page = reader.get(path)
    assert page.status_code == 200
    assert re.search(rf'<a href="{re.escape(path)}" aria-current="page">', page.text)
    assert page.text.count("<h1") == 1
    assert '<main id="main"' in page.text


@pytest.mark.parametrize("path", SCREENS)
def test_no_page_has_a_script_or_a_style_of_its_own_or_anything_from_elsewhere(reader: httpx.Client, path: str) -> None:
    text = reader.get(path).text
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert not re.search(r'(?:src|href|action|hx-get)="(?:https?:)?//', text)


@pytest.mark.parametrize("path", [*SCREENS, "run", "flow", "deployment", "form"])
def test_every_id_is_there_once_and_what_refers_to_one_finds_it(reader: httpx.Client, shop: Shop, path: str) -> None:
    here = f"/deployments/{shop.runs['deployment']}"
    more = {"run": f"/runs/{shop.runs['refused']}", "flow": f"/flows/{shop.runs['flow']}"}
    address = {**more, "deployment": here, "form": f"{here}/run"}.get(path, path)
    text = reader.get(address).text
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:aria-labelledby|\sfor|\slist)="([^"]+)"', text)) <= set(ids)


def test_the_live_part_of_a_page_is_what_htmx_is_given(reader: httpx.Client) -> None:
    part = reader.get("/queues", headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert "default" in text_of(part)


def test_the_overview_counts_what_ran_and_what_failed(reader: httpx.Client, shop: Shop) -> None:
    text = text_of(reader.get("/"))
    assert re.search(r"workers · busy 2 · \d of 8", text), text
    assert "Last failures" in text
    assert "the mail server refused order" in text
    page = reader.get("/?span=15m").text
    assert re.search(r'aria-label="Runs that ended per 15 s: \d', page)


def test_a_filter_by_state_task_and_tag_shows_those_runs_only(reader: httpx.Client) -> None:
    page = reader.get("/runs", params={"state": "FAILED", "task": "send_receipt", "tag": "mail"})
    rows = re.findall(r"<tr>.*?</tr>", page.text.split("<tbody>")[1], re.S)
    assert len(rows) == 2  # orders 7 and 47 of 80
    assert all("shop.send_receipt" in row and "Failed" in row for row in rows)
    assert "2 runs match" in text_of(page)


def test_a_filter_that_nothing_matches_says_how_to_go_on(reader: httpx.Client) -> None:
    text = text_of(reader.get("/runs", params={"task": "no.such.task"}))
    assert "No run matches." in text
    assert "clear it" in text


def test_a_search_for_a_text_in_the_message_finds_the_run(reader: httpx.Client) -> None:
    text = text_of(reader.get("/runs", params={"text": "folder is empty"}))
    assert "1 run matches" in text
    assert "shop.mend" in text


def test_older_pages_go_on_where_the_newer_ended(reader: httpx.Client) -> None:
    seen: list[str] = []
    path: str | None = "/runs?task=shop.charge_card"
    while path:
        page = reader.get(path).text
        seen += re.findall(r'name="run_id" value="([^"]+)"', page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        path = unescape(older[1]) if older else None
    assert len(seen) == len(set(seen)) == 81


def test_a_cursor_that_is_none_is_refused_with_a_page(reader: httpx.Client) -> None:
    page = reader.get("/scheduled?cursor=nonsense")
    assert page.status_code == 400
    assert "not understood" in page.text


def test_a_result_with_a_script_in_it_is_text(reader: httpx.Client, shop: Shop) -> None:
    page = reader.get(f"/runs/{shop.runs['receipt']}")
    assert "&lt;script&gt;alert(" in page.text
    assert "<script>alert" not in page.text


def test_an_error_with_a_script_in_it_is_text_in_the_list_and_on_the_page(reader: httpx.Client, shop: Shop) -> None:
    run_page = reader.get(f"/runs/{shop.runs['refused']}")
    assert "<script>alert" not in run_page.text
    assert "&lt;script&gt;alert" in run_page.text
    assert "ConnectionError: the mail server refused order 7" in text_of(run_page)
    listed = reader.get("/runs?state=FAILED")
    assert "<script>alert" not in listed.text
    assert "&lt;script&gt;alert" in listed.text


def test_a_secret_argument_is_not_shown(reader: httpx.Client, shop: Shop) -> None:
    page = reader.get(f"/runs/{shop.runs['paid']}")
    assert "api_token" in page.text
    assert "tok-of-the-shop" not in page.text
    assert "order 0 is paid" in text_of(page)


def test_the_page_of_a_failed_run_has_its_history_and_its_traceback(reader: httpx.Client, shop: Shop) -> None:
    text = text_of(reader.get(f"/runs/{shop.runs['broken']}"))
    assert "RuntimeError: the folder is empty" in text
    assert "Traceback" in text
    history = text.split("History")[1].split("Arguments")[0]
    assert "Failed" in history


def test_the_page_of_a_running_run_follows_its_progress_and_its_log(reader: httpx.Client, shop: Shop) -> None:
    path = f"/runs/{shop.runs['running']}"
    wait_until(lambda: "Progress:" in reader.get(path).text, 20, "progress on the page")
    wait_until(lambda: "&lt;b&gt;the catalogue&lt;/b&gt;" in reader.get(path).text, 20, "a log line on the page")
    assert "hx-trigger" in reader.get(path).text
    part = reader.get(path, headers={"HX-Request": "true"})
    assert part.status_code == 200


def test_the_page_of_an_ended_run_asks_for_no_more(reader: httpx.Client, shop: Shop) -> None:
    path = f"/runs/{shop.runs['paid']}"
    assert "hx-trigger" not in reader.get(path).text
    assert reader.get(path, headers={"HX-Request": "true"}).status_code == 286


def test_a_run_that_nobody_knows_is_a_page_that_says_so(reader: httpx.Client) -> None:
    page = reader.get("/runs/0199aaaa-0000-7000-8000-00000000beef")
    assert page.status_code == 404
    assert "There is no record of it" in page.text


def test_a_failed_run_is_retried_by_its_button(reader: httpx.Client, shop: Shop) -> None:
    run_id = str(shop.tasks.mend.submit(str(shop.folder)).task_run_id)
    shop.wait_state(run_id, "FAILED")
    (shop.folder / "mended").touch()
    page = send(reader, f"/runs/{run_id}/retry")
    assert "Queued 1 of 1 runs again." in text_of(page)
    shop.wait_state(run_id, "COMPLETED")
    assert "mended" in text_of(reader.get(f"/runs/{run_id}"))


def test_a_running_run_is_cancelled_by_its_button(reader: httpx.Client, shop: Shop) -> None:
    run_id = str(shop.tasks.import_catalogue.submit(str(shop.folder)).task_run_id)
    shop.wait_state(run_id, "RUNNING")
    page = send(reader, f"/runs/{run_id}/cancel")
    assert "Asked 1 of 1 runs to stop." in text_of(page)
    shop.wait_state(run_id, "CANCELLED")


def test_all_that_match_are_counted_first_and_then_cancelled(reader: httpx.Client, shop: Shop) -> None:
    later = [shop.tasks.render_invoice.apply_async(args=(n,), countdown=9_000, queue="archive") for n in range(12)]
    shop.fleet.latest_state(str(later[0].task_run_id))
    asked = {"queue": "archive", "all": "cancel"}
    wait_until(lambda: "Cancel 12 runs?" in text_of(reader.get("/runs/confirm", params=asked)), 20, "12 are counted")
    assert shop.fleet.latest_state(str(later[0].task_run_id)).type == "SCHEDULED"  # so far it was only asked
    page = reader.get("/runs/confirm", params=asked)
    fields = hidden_fields(page)
    assert "Asked 12 of 12 runs to stop." in text_of(reader.post("/runs/act", data=fields, follow_redirects=True))
    for future in later:
        shop.wait_state(str(future.task_run_id), "CANCELLED")


def test_ticked_runs_are_deleted_after_a_question(reader: httpx.Client, shop: Shop) -> None:
    victims = [str(future.task_run_id) for future in shop.tasks.charge_card.map([900, 901, 902])]
    for run_id in victims:
        shop.wait_state(run_id, "COMPLETED")
    asked = {"selected": "delete", "run_id": victims[:2]}
    wait_until(lambda: "Delete 2 runs?" in text_of(reader.get("/runs/confirm", params=asked)), 20, "2 are counted")
    done = send(reader, "/runs/act", what="delete", scope="selected", run_id=victims[0])
    assert "Deleted 1 of 1 runs." in text_of(done)
    assert reader.get(f"/runs/{victims[0]}").status_code == 404
    assert reader.get(f"/runs/{victims[2]}").status_code == 200


def test_nothing_ticked_is_told_and_nothing_is_done(reader: httpx.Client) -> None:
    page = reader.get("/runs/confirm", params={"selected": "delete", "task": "shop.*"})
    assert "Tick some runs first" in page.text
    assert "Deleted 0 of 0 runs." in text_of(send(reader, "/runs/act", what="delete", scope="selected"))


def test_a_form_without_the_token_of_its_session_is_refused(reader: httpx.Client, shop: Shop) -> None:
    reader.get("/runs")
    path = f"/runs/{shop.runs['running']}/cancel"
    assert reader.post(path, data={}).status_code == 403
    assert reader.post(path, data={"csrf_token": "0" * 64}).status_code == 403
    with shop.site.client() as other:
        assert reader.post(path, data={"csrf_token": token_in(other.get("/queues"))}).status_code == 403
    assert shop.fleet.latest_state(shop.runs["running"]).type == "RUNNING"


def test_a_flow_run_has_a_timeline_a_graph_and_one_row_for_its_map(reader: httpx.Client, shop: Shop) -> None:
    page = reader.get(f"/flows/{shop.runs['flow']}")
    text = text_of(page)
    assert "Timeline of 5 rows" in page.text  # 60 × check_order is one of them
    assert "shop.check_order × 60" in text
    assert "59 completed 1 failed" in text, text
    assert "shop.load_orders into shop.check_order" in text
    assert "60 orders are checked" in text
    assert "order 13 has no address" not in text


@pytest.fixture(scope="module")
def evenings(shop: Shop) -> tuple[str, str]:
    """A flow run that failed, and one that completed."""
    failed = shop.tasks.evening([1, 2, 3], "<script>alert('note')</script>", return_state=True)
    done = shop.tasks.evening([4], "all is well", return_state=True)
    return str(failed.flow_run_id), str(done.flow_run_id)


def test_a_flow_run_shows_its_parameters_and_its_result(reader: httpx.Client, evenings: tuple[str, str]) -> None:
    page = reader.get(f"/flows/{evenings[1]}")
    text = text_of(page)
    assert "tills [4] note 'all is well'" in text
    assert "tok-of-the-evening" not in page.text
    assert re.search(r"Result Copy 4 ", text)
    assert "Traceback" not in text
    told = reader.get(f"/api/flow_runs/{evenings[1]}").json()
    assert (told["parameters"]["tills"], told["result"], told["error"]) == ([4], "4", None)


def test_a_failed_flow_run_shows_its_traceback_and_offers_to_retry_what_failed(
    reader: httpx.Client, evenings: tuple[str, str]
) -> None:
    path = f"/flows/{evenings[0]}"
    wait_until(lambda: "Retry its 1 failed run…" in text_of(reader.get(path)), 20, "the index knows how its runs ended")
    page = reader.get(path)
    text = text_of(page)
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert" in page.text
    assert "ValueError: not all tills are counted" in text.split("Traceback")[-1]
    assert "1 not ready" in text  # what needed the locked drawer
    question = re.search(r'href="([^"]+)">Retry its', page.text)
    assert question
    assert "Retry 1 run?" in text_of(reader.get(unescape(question[1])))


def test_flows_inside_a_flow_stand_on_its_timeline_and_in_its_graph(
    reader: httpx.Client, evenings: tuple[str, str]
) -> None:
    wait_until(lambda: "Flows inside" in reader.get(f"/flows/{evenings[0]}").text, 20, "the index knows them")
    page = reader.get(f"/flows/{evenings[0]}").text
    assert "Timeline of 5 rows" in page  # two flows, one drawer, twice the bank
    assert re.search(r'<a class="lane" href="/flows/[^"]+"><title>flow count-till-', page)
    graph = page.split('id="graph-title"')[1]
    assert re.search(
        r'<a class="node tone-completed" href="/flows\?flow=count-till"><title>flow count-till: 2 completed', graph
    )
    assert "bank the takings" in graph


def test_names_that_were_given_are_shown_in_lists_and_on_the_run_s_page(
    reader: httpx.Client, evenings: tuple[str, str]
) -> None:
    def listing() -> httpx.Response:
        return reader.get("/runs", params={"task": "bank the takings", "state": "COMPLETED"})

    wait_until(lambda: "bank 4" in text_of(listing()), message="the index knows it")
    listed = listing()
    first = re.search(r'class="break" href="(/runs/[^"]+)">bank 4<', listed.text)
    assert first
    text = text_of(reader.get(first[1]))
    assert "Name bank 4 Task bank the takings shop.bank" in text


def test_a_run_that_will_never_start_is_shown_so_and_asks_for_no_more(
    reader: httpx.Client, evenings: tuple[str, str]
) -> None:
    def listed() -> re.Match[str] | None:
        page = reader.get("/runs", params={"task": "shop.bank", "flow_run_id": evenings[0]})
        return re.search(r'tone-cancelled">.{0,400}?NotReady.*?href="(/runs/[^"]+)"', page.text, re.S)

    wait_until(lambda: listed() is not None, 20, "the index knows it")
    not_ready = listed()
    assert not_ready
    assert "hx-trigger" not in reader.get(not_ready[1]).text


def test_every_attempt_that_failed_shows_its_traceback_the_last_one_open(reader: httpx.Client, shop: Shop) -> None:
    run_id = str(shop.tasks.ask_the_bank.submit("<b>third</b>").task_run_id)
    for attempt in (1, 2, 3):
        found = f"Traceback of attempt {attempt}"
        wait_until(lambda: found in text_of(reader.get(f"/runs/{run_id}")), 30, found)  # noqa: B023  # it is met now
        send(reader, f"/runs/{run_id}/run-now")
    shop.wait_state(run_id, "FAILED")
    wait_until(lambda: "Traceback of attempt 4" in text_of(reader.get(f"/runs/{run_id}")), 30, "the last one")
    page = reader.get(f"/runs/{run_id}").text
    assert re.findall(r"<details( open)?>\s*<summary class=\"headed\">", page) == ["", "", "", " open"]
    assert "<b>third" not in page
    assert page.count("TimeoutError: the bank did not answer for &lt;b&gt;third&lt;/b&gt;</pre>") == 4


def test_a_map_opens_to_its_runs_and_to_those_that_failed(reader: httpx.Client, shop: Shop) -> None:
    path = f"/flows/{shop.runs['flow']}?open=shop.check_order"
    page = reader.get(path)
    assert "60 runs of shop.check_order" in text_of(page)
    assert 'aria-expanded="true"' in page.text
    failed = reader.get(f"{path}&state=FAILED")
    assert "order 13 has no address" in text_of(failed)
    assert "1 runs of shop.check_order" in text_of(failed)


def test_the_open_runs_of_a_flow_are_counted_and_cancelled(reader: httpx.Client, shop: Shop) -> None:
    running = threading.Thread(target=shop.tasks.endless, args=(str(shop.folder),), kwargs={"return_state": True})
    running.start()
    word = shop.folder / "endless"
    wait_until(lambda: word.exists() and word.read_text(), 20, "the flow's word")
    path = f"/flows/{word.read_text()}"
    find = re.compile(r'href="([^"]+)">Cancel its open runs')
    wait_until(lambda: find.search(reader.get(path).text), 20, "the button")
    question = find.search(reader.get(path).text)
    assert question
    counted = unescape(question[1])
    wait_until(lambda: "Cancel 2 runs?" in text_of(reader.get(counted)), 20, "two runs of it")
    asked = reader.get(counted)
    fields = hidden_fields(asked)
    assert "Asked 2 of 2 runs to stop." in text_of(reader.post("/runs/act", data=fields, follow_redirects=True))
    running.join(30)
    assert not running.is_alive()


def test_the_list_of_flow_runs_leads_to_each_and_filters_by_name(reader: httpx.Client, shop: Shop) -> None:
    page = reader.get("/flows?flow=nightly")
    assert f'href="/flows/{shop.runs["flow"]}"' in page.text
    assert "No flow run matches." in text_of(reader.get("/flows?flow=weekly"))


def test_a_queue_is_paused_resumed_and_purged(reader: httpx.Client, shop: Shop) -> None:
    send(reader, "/queues/pause", name="mornings")
    waiting = [shop.tasks.charge_card.apply_async(args=(n,), queue="mornings") for n in range(3)]
    text = text_of(reader.get("/queues"))
    assert "mornings Paused" in text
    question = text_of(reader.get("/queues/purge?name=mornings"))
    assert "3 waiting calls will end as Cancelled" in question
    assert "Cancelled 3 waiting calls." in text_of(send(reader, "/queues/purge", name="mornings"))
    shop.wait_state(str(waiting[0].task_run_id), "CANCELLED")
    send(reader, "/queues/resume", name="mornings")
    assert "mornings Paused" not in text_of(reader.get("/queues"))


def test_a_worker_is_paused_and_resumed_and_asked_about_before_it_is_stopped(reader: httpx.Client, shop: Shop) -> None:
    page = reader.get("/workers")
    assert "shop.import_catalogue" in text_of(page)  # what it runs
    name = re.search(r'name="name" value="([^"]+)"', page.text)
    assert name
    assert "the page could not be" not in text_of(send(reader, "/workers/pause", name=unescape(name[1])))
    wait_until(lambda: "Paused" in text_of(reader.get("/workers")), 20, "a paused worker")
    send(reader, "/workers/resume", name=unescape(name[1]))
    wait_until(lambda: "Paused" not in text_of(reader.get("/workers")), 20, "no paused worker")
    assert "hands the rest back" in text_of(reader.get("/workers/stop", params={"name": unescape(name[1])}))


def test_an_order_to_a_worker_that_is_gone_is_a_page_that_says_who_lives(reader: httpx.Client) -> None:
    page = send(reader, "/workers/stop", name="nobody")
    assert page.status_code == 409
    assert "no live worker &#39;nobody&#39;" in page.text


def test_dead_letters_are_grouped_and_a_group_is_replayed(reader: httpx.Client, shop: Shop) -> None:
    page = reader.get("/dead")
    text = text_of(page)
    assert "shop.crash_the_worker × 1" in text
    question = re.search(r'href="(/dead/replay\?task=[^"]+)">Replay 1…', page.text)
    assert question
    asked = reader.get(unescape(question[1]))
    assert "1 of them are queued again" in text_of(asked)
    shop.wait_state(shop.runs["dead"], "CRASHED")  # so far it was only asked
    fields = {name: values[0] for name, values in hidden_fields(asked).items() if name in ("task", "error")}
    assert set(fields) == {"task", "error"}
    done = send(reader, "/dead/replay", **fields)
    assert "Replayed 1 of 1 dead letters." in text_of(done)
    wait_until(lambda: "shop.crash_the_worker × 1" in text_of(reader.get("/dead")), 40, "it is dead again")


def test_scheduled_and_retrying_calls_are_listed_by_when_they_are_due(reader: httpx.Client, shop: Shop) -> None:
    page = reader.get("/scheduled").text
    assert page.index(shop.runs["retrying"]) < page.index(shop.runs["later"])  # in an hour, in two
    assert "AwaitingRetry" in page


def test_a_waiting_run_says_when_its_next_attempt_is_and_is_run_now(reader: httpx.Client, shop: Shop) -> None:
    run_id = str(shop.tasks.ask_the_bank.submit("current").task_run_id)
    wait_until(lambda: shop.fleet.latest_state(run_id).name == "AwaitingRetry", 30, "its first failure")
    page = reader.get(f"/runs/{run_id}")
    assert re.search(r"Next attempt \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(in 59 min\)", text_of(page))
    assert "Queued 1 of 1 runs that waited" in text_of(send(reader, f"/runs/{run_id}/run-now"))
    wait_until(lambda: "2 · 2 after failures" in text_of(reader.get(f"/runs/{run_id}")), 30, "a second failure")
    assert "Queued 1 of 1" in text_of(send(reader, f"/runs/{run_id}/run-now", back="/scheduled"))
    send(reader, f"/runs/{run_id}/cancel")


def test_a_completed_run_is_retried_after_a_question_only(reader: httpx.Client, shop: Shop) -> None:
    page = reader.get(f"/runs/{shop.runs['paid']}")
    assert f'action="/runs/{shop.runs["paid"]}/retry"' not in page.text
    question = re.search(r'href="([^"]+)">Retry…', page.text)
    assert question
    assert "Retry 1 run?" in text_of(reader.get(unescape(question[1])))


def test_all_dead_letters_are_replayed_after_a_question_only(reader: httpx.Client) -> None:
    page = reader.get("/dead")
    assert 'action="/dead/replay"' not in page.text.split("one by one")[0]
    assert "of them are queued again" in text_of(reader.get("/dead/replay"))


def test_the_overview_warns_of_queues_that_nobody_reads_or_somebody_paused(reader: httpx.Client, shop: Shop) -> None:
    send(reader, "/queues/pause", name="evenings")
    unread = shop.tasks.charge_card.apply_async(args=(1,), queue="nobody-s")
    shop.fleet.latest_state(str(unread.task_run_id))
    text = text_of(reader.get("/"))
    assert "Nobody reads queue nobody-s : 1 call waits" in text
    assert "Queue evenings is paused" in text
    send(reader, "/queues/resume", name="evenings")
    send(reader, "/queues/purge", name="nobody-s")
    assert "nobody-s : 1" not in text_of(reader.get("/"))


def test_the_overview_has_figures_of_each_task(reader: httpx.Client) -> None:
    text = text_of(reader.get("/")).split("of the runs that are kept")[1]
    assert re.search(r"shop\.charge_card \d+ 0 % \S+ ms \S+ ms", text), text[:600]
    assert re.search(r"shop\.send_receipt 80 2\.5 % ", text), text[:600]


def test_runs_are_searched_by_argument_and_ordered_by_duration(reader: httpx.Client, shop: Shop) -> None:
    found = reader.get("/runs", params={"argument": "savings", "task": "shop.ask_the_bank"})
    assert f'href="/runs/{shop.runs["retrying"]}"' in found.text

    def listing() -> httpx.Response:
        return reader.get("/runs", params={"sort": "duration"})

    def is_running() -> bool:
        first = re.search(r'class="break" href="/runs/([^"]+)"', listing().text)
        return first is not None and shop.fleet.latest_state(first[1]).type == "RUNNING"

    wait_until(is_running, message="the one that runs outlasts those that have ended")
    longest = listing()
    assert "Longest first" in text_of(longest)
    older = re.search(r'rel="next" href="([^"]+)"', longest.text)
    assert older
    assert 'aria-sort="descending"' in reader.get(unescape(older[1])).text


def test_stopping_says_that_the_whole_worker_stops(reader: httpx.Client) -> None:
    page = text_of(reader.get("/workers/stop", params={"name": "a-worker"}))
    assert "the whole worker, with all its processes" in page
    assert "Stop the whole worker" in page


def test_the_about_page_has_the_health_and_the_settings_without_secrets(reader: httpx.Client, shop: Shop) -> None:
    text = text_of(reader.get("/about"))
    assert "appendonly is off" in text
    assert "ORCHESTRATOR_LEASE_SECONDS 4 set" in text
    assert "noeviction" in text


def test_a_read_only_site_offers_no_actions_and_refuses_them(shop: Shop) -> None:
    site = shop.another_site(read_only=True)
    with site.client() as reader:
        for path in (*SCREENS, f"/runs/{shop.runs['broken']}", f"/flows/{shop.runs['flow']}"):
            assert 'method="post"' not in reader.get(path).text, path
        listed = reader.get("/runs").text
        assert 'type="checkbox" name="run_id"' not in listed
        assert "read only" in listed


def test_a_closed_site_asks_for_the_password_and_goes_on_where_one_was(shop: Shop) -> None:
    site = shop.another_site(password="open-sesame")
    with site.client() as reader:
        page = reader.get("/runs?state=FAILED", follow_redirects=True)
        assert "Password or token" in text_of(page)
        assert "shop." not in page.text
        fields = {"csrf_token": token_in(page), "next": "/runs?state=FAILED"}
        wrong = reader.post("/login", data={**fields, "secret": "guess"}, follow_redirects=True)
        assert "neither the password nor the token" in text_of(wrong)
        right = reader.post("/login", data={**fields, "secret": "open-sesame"}, follow_redirects=True)
        assert "shop.mend" in text_of(right)
        assert "Log out" in text_of(right)
        reader.post("/logout", data={"csrf_token": token_in(right)}, follow_redirects=True)
        assert "Password or token" in text_of(reader.get("/runs", follow_redirects=True))


def test_mounted_in_another_application_every_address_keeps_its_prefix(shop: Shop) -> None:
    outer = Starlette(routes=[Mount("/ops", shop.site.app)])
    with served(outer) as url, httpx.Client(base_url=url) as reader:
        for path in (*SCREENS, "/runs?tag=mail", f"/runs/{shop.runs['refused']}", f"/flows/{shop.runs['flow']}"):
            page = reader.get(f"/ops{path}")
            assert page.status_code == 200
            addresses = re.findall(r'(?:href|src|action|hx-get)="(/[^"]*)"', page.text)
            assert addresses
            assert [address for address in addresses if not address.startswith("/ops/")] == []
        done = reader.post(
            f"/ops/runs/{shop.runs['paid']}/cancel",
            data={"csrf_token": token_in(reader.get("/ops/queues"))},
            follow_redirects=True,
        )
        assert "Asked 0 of 1 runs to stop." in text_of(done)


def test_while_the_server_is_away_pages_say_so_and_the_about_page_answers(tmp_path: Path) -> None:
    settings = Settings(redis_url=f"unix://{tmp_path}/nobody.sock", namespace="nobody", command_timeout_seconds=1)
    fleet = Fleet(settings)
    site = Site(fleet, users=False)  # with people it would not know whether this reader may see anything
    try:
        with site.client() as reader:
            page = reader.get("/queues")
            assert page.status_code == 503
            assert "The server does not answer" in page.text
            assert "The server does not answer." in text_of(reader.get("/about"))
    finally:
        site.close()
        fleet.close()


def test_a_fleet_in_which_nothing_has_happened_says_on_every_screen_what_to_do(
    server: ServerProcess, namespace: str
) -> None:
    fleet = Fleet(Settings(redis_url=server.url, namespace=namespace))
    site = Site(fleet)
    try:
        with site.client() as reader:
            for path, advice in {
                "/": "orchestrator worker -A",
                "/runs": "my_task.submit",
                "/flows": "@flow",
                "/queues": "orchestrator worker -A",
                "/workers": "orchestrator worker -A",
                "/scheduled": "Nothing is scheduled.",
                "/dead": "There are none.",
            }.items():
                assert advice in text_of(reader.get(path)), path
    finally:
        site.close()
        fleet.close()
