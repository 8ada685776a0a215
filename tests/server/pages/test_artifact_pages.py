"""Artifacts as pages: every kind, whatever is written in it, and large tables page by page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from orchestrator import artifacts, flow, task
from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.server.pages.markdown import MAX_MARKS, MAX_RENDERED, is_followed, rendered
from orchestrator.server.pages.rendering import STOP_POLLING
from tests.server.pages.test_deployment_pages import open_app, send
from tests.server.pages.test_pages import text_of

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
GIF = b"GIF89a" + b"\0" * 20


@pytest.fixture
def reader(own_fleet: Fleet) -> Iterator[TestClient]:
    before = use_fleet(own_fleet)
    with open_app(own_fleet) as client:
        yield client
    use_fleet(before)


def page(reader: TestClient, artifact_id: UUID, **query: Any) -> str:
    shown = reader.get(f"/artifacts/{artifact_id}", params=query)
    assert shown.status_code == 200, shown.text
    assert "<script>alert" not in shown.text
    assert "<img src=x" not in shown.text
    assert not re.search(r'(href|src)="(?!/|#|https?:|mailto:)', shown.text)
    assert not re.search(r"\sstyle=", shown.text)
    return shown.text


def test_the_list_has_the_newest_version_of_each_key(reader: TestClient) -> None:
    assert "No artifact with a key is there." in text_of(reader.get("/artifacts"))
    old, new = (artifacts.create_markdown_artifact(text, key="daily-report") for text in "ab")
    table = artifacts.create_table_artifact([[1]], key="customers", description=EVIL)
    plain = artifacts.create_progress_artifact(3)
    listed = reader.get("/artifacts").text
    assert [str(one) in listed for one in (old, new, table, plain)] == [False, True, True, False]
    assert EVIL not in listed
    everything = reader.get("/artifacts?all=1").text
    assert all(str(one) in everything for one in (old, new, table, plain))
    found = reader.get("/artifacts?text=REPORT").text
    assert [str(one) in found for one in (new, table)] == [True, False]
    assert "No key holds that." in text_of(reader.get("/artifacts?text=%3Cscript%3E"))
    assert reader.get("/artifacts?first=x").status_code == 400


def test_a_key_has_its_versions(reader: TestClient) -> None:
    made = [artifacts.create_markdown_artifact(str(number), key="report") for number in range(51)]
    first = reader.get("/artifacts/keys/report")
    assert "51 versions" in text_of(first)
    assert [str(one) in first.text for one in (made[0], made[50])] == [False, True]
    assert str(made[0]) in reader.get("/artifacts/keys/report?first=50").text
    assert reader.get("/artifacts/keys/gone").status_code == 404


def test_markdown_is_rendered_and_html_in_it_is_text(reader: TestClient) -> None:
    text = (
        f"# Sales {EVIL}\n\n**12** [orders](https://e.com) [bad](javascript:alert(1)) [data](data:text/html,x)\n\n"
        + (
            f"![chart {EVIL}](https://e.com/p.png)\n\n| a | n |\n|---|--:|\n| {EVIL} | 1 |\n\n```html\n{EVIL}\n```\n"
            f"<b>{EVIL}</b>\n"
        )
    )
    shown = page(reader, artifacts.create_markdown_artifact(text, key="m", description=f"_{EVIL}_"))
    assert "<strong>12</strong>" in shown
    assert '<a href="https://e.com" rel="noopener noreferrer nofollow">orders</a>' in shown
    assert "[bad](javascript:alert(1))" in shown
    assert '<td class="number">1</td>' in shown
    assert '<a href="https://e.com/p.png" rel="noopener noreferrer nofollow">chart &lt;script' in shown
    assert "<h3>Sales" in shown
    assert shown.count("<img") == shown.count("<b>") == 0


@pytest.mark.parametrize(
    "text",
    [
        "[" * (MAX_MARKS + 1),
        "a" * (MAX_RENDERED + 7),
        "> " * 5_000 + "deep",
        "\n".join("  " * level + f"- level {level}" for level in range(80)),
        "- " * 60 + "deep",
    ],
    ids=["marks", "long", "quotes", "nested list", "list in a line"],
)
def test_a_text_that_would_take_long_is_shown_as_it_was_written(reader: TestClient, text: str) -> None:
    assert rendered(text) is None
    shown = page(reader, artifacts.create_markdown_artifact(text + EVIL))
    assert '<div class="markdown">' not in shown
    assert ("more characters are not shown here" in shown) is (len(text) > MAX_RENDERED)


@pytest.mark.parametrize(
    "mark", ["[", "*a_ ", "~~a", "![[](", "**a", "> ", "`", "<a", "|\n", "&", "\\", "<!--", "[a]: <"]
)
def test_what_is_rendered_takes_no_recursion_and_loses_no_word(mark: str) -> None:
    found = rendered("start\n\n" + mark * (MAX_MARKS // 10 // len(mark)) + "\n\nend")
    assert found is None or ("start" in found and "end" in found)


def test_addresses_are_followed_by_their_scheme() -> None:
    good = ["http://a.b", "HTTPS://a.b", "mailto:a@b.c"]
    bad = [
        "javascript:alert(1)",
        "java\nscript:x",
        " javascript:x",
        "vbscript:x",
        "data:text/html,x",
        "file:///etc",
        "//a.b",
    ]
    assert [is_followed(one) for one in good + bad + ["", "/a", "http://[", "http://a b"]] == [True] * 3 + [False] * 11


def test_links_lead_only_where_browsers_may_go(reader: TestClient) -> None:
    shown = page(reader, artifacts.create_link_artifact("https://e.com/out.csv", EVIL))
    assert '<a class="break" href="https://e.com/out.csv" rel="noopener noreferrer nofollow">' in shown
    for address in ("javascript:alert(1)", "s3://bucket/key", '"><script>alert(1)</script>'):
        shown = page(reader, artifacts.create_link_artifact(address))
        assert 'rel="noopener' not in shown
        assert "<code" in shown


def test_a_table_comes_in_pages_sorted_and_filtered(reader: TestClient) -> None:
    rows = [{"n": number, "name": f"Name {number % 3}", EVIL: None} for number in range(120)]
    table = artifacts.create_table_artifact([*rows, {"n": -1, "name": EVIL}], key="t")
    shown = page(reader, table)
    assert "1 to 50 of 121" in shown
    assert "Name 0" in shown
    assert "101 to 121 of 121" in page(reader, table, offset=100)
    last = page(reader, table, sort=0, order="desc")
    assert 'aria-sort="descending"' in last
    assert last.index(">119<") < last.index(">118<")
    found = page(reader, table, filter="name 2", sort=0)
    assert "1 to 40 of 40" in found
    assert 'value="name 2"' in found
    assert "No cell holds that." in page(reader, table, filter="nothing")
    assert "The table has no rows here." in page(reader, artifacts.create_table_artifact([], key="empty"))
    for wrong in ({"sort": 3}, {"sort": "x"}, {"offset": -1}):
        assert reader.get(f"/artifacts/{table}", params=wrong).status_code == 400


def test_progress_is_followed_until_it_is_whole(reader: TestClient) -> None:
    bar = artifacts.create_progress_artifact(42.5)
    shown = page(reader, bar)
    assert 'value="42.5"' in shown
    assert f'hx-get="/artifacts/{bar}"' in shown
    assert reader.get(f"/artifacts/{bar}", headers={"HX-Request": "true"}).status_code == 200
    artifacts.update_progress_artifact(bar, 100)
    part = reader.get(f"/artifacts/{bar}", headers={"HX-Request": "true"})
    assert (part.status_code, "100 %" in part.text) == (STOP_POLLING, True)


def test_a_picture_is_shown_if_it_is_kept_and_linked_if_it_is_not(reader: TestClient) -> None:
    kept = artifacts.create_image_artifact(GIF, key="chart")
    assert f'<img class="picture" src="/artifacts/{kept}/image" alt="chart">' in page(reader, kept)
    served = reader.get(f"/artifacts/{kept}/image")
    assert (served.content, served.headers["content-type"]) == (GIF, "image/gif")
    assert served.headers["x-content-type-options"] == "nosniff"
    elsewhere = artifacts.create_image_artifact("https://e.com/a.png")
    assert "pages load nothing from there" in page(reader, elsewhere)
    assert reader.get(f"/artifacts/{elsewhere}/image").status_code == 404


def test_other_types_are_shown_as_text_and_damage_is_told(reader: TestClient, own_fleet: Fleet) -> None:
    odd = artifacts.Artifact(type=EVIL[:100], key="odd", data={"a": EVIL}, metadata_={EVIL[:60]: EVIL}).create().id
    page(reader, odd)
    assert "null" in page(reader, artifacts.Artifact(type="note").create().id)
    table = artifacts.create_table_artifact([[1]])
    own_fleet.broker.artifacts.put_chunks(str(table), 0, [b"?"])
    assert "a part of an artifact is damaged" in page(reader, table)
    own_fleet.broker.artifacts.change({str(table): {"x": b"?"}})
    assert "its description cannot be read here" in page(reader, table)


def test_artifacts_are_deleted_one_by_one_or_with_their_key(reader: TestClient, own_fleet: Fleet) -> None:
    first, second, third = (artifacts.create_markdown_artifact(text, key="report") for text in "abc")
    assert "This version is deleted for good." in text_of(reader.get(f"/artifacts/delete?id={first}"))
    assert "Deleted 1 artifacts." in text_of(send(reader, "/artifacts/delete", id=str(first)))
    assert reader.get(f"/artifacts/{first}").status_code == 404
    assert "2 versions are deleted" in text_of(reader.get("/artifacts/delete?key=report"))
    assert "Deleted 2 artifacts." in text_of(send(reader, "/artifacts/delete", key="report"))
    assert own_fleet.broker.artifacts.read([str(second), str(third)]) == [None, None]
    for gone in ("id=x", "key=gone", ""):
        assert reader.get(f"/artifacts/delete?{gone}").status_code == 404
    assert send(reader, "/artifacts/delete", id=str(first)).status_code == 404


@task
def leave_one() -> UUID:
    return artifacts.create_markdown_artifact("a", key="left-by-a-task")


@flow
def leave_some() -> str:
    artifacts.create_table_artifact([[1]])
    leave_one()
    return str(artifacts.Artifact.get("left-by-a-task").flow_run_id)  # type: ignore[union-attr]


def test_the_page_of_a_run_lists_what_it_left(reader: TestClient) -> None:
    shown = reader.get(f"/flows/{leave_some()}").text
    assert "left-by-a-task" in shown
    assert "1 row</span>" in shown


def test_a_task_run_without_a_record_is_named_and_no_link(reader: TestClient) -> None:
    run = leave_some()
    found = artifacts.Artifact.get("left-by-a-task")
    shown = page(reader, found.id)  # type: ignore[union-attr]
    assert f'href="/flows/{run}"' in shown
    assert "called directly, or gone" in shown
    assert 'href="/runs/' not in shown
