"""Artifacts from the side of those who leave them: kinds, keys, links to runs, progress, pictures, odd contents."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from orchestrator import artifacts, flow, task
from orchestrator.artifacts import Artifact, LinkArtifact, MarkdownArtifact, TableArtifact
from orchestrator.artifacts.images import MAX_IMAGE_BYTES, Picture, content_type_of, picture_at, picture_of
from orchestrator.artifacts.listing import ArtifactSearch, count, find
from orchestrator.artifacts.paging import Wanted, page_of
from orchestrator.artifacts.progress_writes import ProgressWrites, write_what_waits, writes_of
from orchestrator.artifacts.reading import newest_version, picture_of_record, read_one, with_short_table
from orchestrator.artifacts.record import ArtifactRecord, record_of
from orchestrator.artifacts.writing import Draft, write
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.errors import BrokerUnavailable, ObjectNotFound, SerializationError
from orchestrator.testing import inline

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with inline():
        yield current_fleet()


def read(fleet: Fleet, artifact_id: UUID) -> ArtifactRecord:
    write_what_waits(fleet)
    found = read_one(fleet.broker, str(artifact_id))
    assert found is not None
    return found


# -- kinds ---------------------------------------------------------------------------------------------------------


def test_every_kind_is_kept_as_prefect_keeps_it(fleet: Fleet) -> None:
    made = {
        "markdown": artifacts.create_markdown_artifact("# A", key="m", description="d"),
        "table": artifacts.create_table_artifact({"a": [1]}, key="t"),
        "link": artifacts.create_link_artifact("https://example.com/x", "Output", key="l"),
        "progress": artifacts.create_progress_artifact(12, key="p"),
        "image": artifacts.create_image_artifact("https://example.com/x.png", key="i"),
    }
    assert all(isinstance(artifact_id, UUID) for artifact_id in made.values())
    found = {kind: read(fleet, artifact_id) for kind, artifact_id in made.items()}
    assert {kind: one.type for kind, one in found.items()} == {
        "markdown": "markdown", "table": "table", "link": "markdown", "progress": "progress", "image": "image",
    }  # fmt: skip
    assert {kind: one.kind for kind, one in found.items()} == {kind: kind for kind in found}
    assert {kind: one.data for kind, one in found.items()} == {
        "markdown": "# A", "table": None, "link": "[Output](https://example.com/x)", "progress": 12.0,
        "image": "https://example.com/x.png",
    }  # fmt: skip
    assert found["markdown"].description == "d"
    assert Artifact.get("t").data == '{"a": [1]}'  # type: ignore[union-attr]
    assert all(one.trouble == "" for one in found.values())


def test_every_function_has_a_twin_with_the_same_parameters() -> None:
    for name in artifacts.__all__:
        if name.startswith(("create_", "update_")):
            one, twin = (inspect.signature(inspect.unwrap(getattr(artifacts, n))) for n in (name, "a" + name))
            assert list(one.parameters) == list(twin.parameters)


def test_on_an_event_loop_both_names_are_awaited(fleet: Fleet) -> None:
    async def leave() -> list[UUID]:
        made = await artifacts.create_markdown_artifact("a", key="x")
        bar = await artifacts.acreate_progress_artifact(1)
        await artifacts.aupdate_progress_artifact(bar, 50)
        found: Any = Artifact.get("x")
        assert (await found).data == "a"
        assert (await MarkdownArtifact(markdown="b", key="y").acreate()).data == "b"
        table = await artifacts.acreate_table_artifact([[1]])
        return [made, bar, table, await artifacts.acreate_link_artifact("s3://a/b")]

    _, bar, _, _ = asyncio.run(leave())
    assert read(fleet, bar).data == 50.0


def test_the_class_of_all_kinds_keeps_json_as_text(fleet: Fleet) -> None:
    made = Artifact(type="order", key="o", data={"a": 1}, metadata_={"by": "me"}).create()
    assert (made.type, made.data, made.metadata_) == ("order", '{"a": 1}', {"by": "me"})
    again, created = Artifact.get_or_create("o", data="other")
    assert (again.id, created) == (made.id, False)
    new, created = TableArtifact.get_or_create("t", table=[[1]])
    assert (new.type, created) == ("table", True)
    assert Artifact.get("gone") is None
    assert Artifact.get() is None


@pytest.mark.parametrize("key", ["Daily", "a b", "a_b", "", "ü", "a" * 256, "a/b", "<script>"])
def test_a_key_that_cannot_be_one_is_refused_with_what_is_allowed(fleet: Fleet, key: str) -> None:
    with pytest.raises(ValueError, match="lowercase letters, digits and dashes only"):
        artifacts.create_markdown_artifact("a", key=key)
    assert count(fleet.broker, ArtifactSearch()) == 0


def test_each_create_is_a_version_and_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_ARTIFACT_VERSIONS", "2")
    with inline():
        for number in range(3):
            artifacts.create_markdown_artifact(str(number), key="k")
        _, ids = current_fleet().broker.artifacts.newest(key="k")
        assert [read(current_fleet(), UUID(one)).data for one in ids] == ["2", "1"]


@pytest.mark.parametrize("what", ["data", "description"])
def test_contents_that_are_too_large_are_refused_with_the_limit(fleet: Fleet, what: str) -> None:
    large = "x" * (5 * 1024 * 1024 + 1)
    with pytest.raises(ValueError, match="at most 5 MB"):
        MarkdownArtifact(markdown=large if what == "data" else "", description=large).create()


def test_the_text_of_a_link_cannot_close_its_brackets() -> None:
    assert LinkArtifact(link="https://e.com/a b", link_text="](javascript:x)[").format() == (
        r"[\](javascript:x)\[](<https://e.com/a b>)"
    )
    assert LinkArtifact(link="https://e.com").format() == "[https://e.com](https://e.com)"


# -- runs ----------------------------------------------------------------------------------------------------------


@task
def leave_one() -> UUID:
    return artifacts.create_markdown_artifact("a", key="of-task")


@flow
def leave_in_flow() -> tuple[UUID, UUID, UUID]:
    return artifacts.create_markdown_artifact("b"), leave_one(), leave_one.submit().result()


@task
async def leave_async() -> UUID:
    return await artifacts.create_markdown_artifact("a")  # type: ignore[misc,no-any-return]


@flow
async def leave_in_async_flow() -> list[UUID]:
    return [await leave_async(), await artifacts.acreate_markdown_artifact("c")]


def test_an_artifact_knows_the_runs_around_it(fleet: Fleet) -> None:
    in_flow, in_task, in_call = (read(fleet, one) for one in leave_in_flow())
    assert in_flow.flow_run_id is not None
    assert in_flow.task_run_id is None
    assert in_task.flow_run_id == in_call.flow_run_id == in_flow.flow_run_id
    assert in_task.task_run_id not in (None, in_call.task_run_id)
    of_flow = find(fleet.broker, ArtifactSearch(flow_run_ids=[str(in_flow.flow_run_id)]))
    assert [one.id for one in of_flow] == [in_call.id, in_task.id, in_flow.id]
    assert fleet.broker.flow_runs.read(str(in_flow.flow_run_id))  # others can look it up


def test_in_async_flows_as_well(fleet: Fleet) -> None:
    in_task, in_flow = (read(fleet, one) for one in asyncio.run(leave_in_async_flow()))
    assert in_task.flow_run_id == in_flow.flow_run_id
    assert in_flow.flow_run_id is not None
    assert in_task.task_run_id is not None


def test_outside_of_runs_it_belongs_to_none_unless_somebody_says(fleet: Fleet) -> None:
    assert read(fleet, artifacts.create_markdown_artifact("a")).flow_run_id is None
    of = uuid4()
    assert MarkdownArtifact(markdown="a", flow_run_id=of).create().flow_run_id == of


# -- progress ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "kept"), [(-1, 0.0), (0, 0.0), (33.5, 33.5), (101, 100.0), (float("inf"), 100.0)])
def test_progress_is_clamped_with_a_warning(
    fleet: Fleet, caplog: pytest.LogCaptureFixture, given: float, kept: float
) -> None:
    with caplog.at_level(logging.WARNING, "orchestrator.artifacts"):
        bar = artifacts.create_progress_artifact(given)
        assert read(fleet, bar).data == kept
        artifacts.update_progress_artifact(str(bar), given)
    assert ("is not from 0 to 100" in caplog.text) is (given != kept)


@pytest.mark.parametrize(("given", "error"), [(float("nan"), ValueError), ("50", TypeError), (True, TypeError)])
def test_progress_that_is_no_number_is_refused(fleet: Fleet, given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="progress"):
        artifacts.create_progress_artifact(given)
    bar = artifacts.create_progress_artifact(1)
    with pytest.raises(error, match="progress"):
        artifacts.update_progress_artifact(bar, given)


def test_of_many_updates_few_are_written_and_the_last_one_always(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = artifacts.create_progress_artifact(0, description="first")
    written: list[dict[str, Any]] = []
    change = fleet.broker.artifacts.change
    monkeypatch.setattr(fleet.broker.artifacts, "change", lambda changes: written.append(changes) or change(changes))
    monkeypatch.setattr("orchestrator.artifacts.progress_writes.time.monotonic", lambda: 1000.0)
    for number in range(1, 101):
        artifacts.update_progress_artifact(bar, number, description="second" if number == 50 else None)
    assert len(written) == 1
    assert fleet.logs.waiting
    fleet.logs.flush(())
    assert len(written) == 1  # too early
    monkeypatch.setattr("orchestrator.artifacts.progress_writes.time.monotonic", lambda: 1000.6)
    fleet.logs.flush(())
    assert len(written) == 2
    found = read(fleet, bar)
    assert (found.data, found.description) == (100.0, "second")


def test_before_a_run_ends_its_last_value_is_written(fleet: Fleet) -> None:
    bar = artifacts.create_progress_artifact(0)
    writes = writes_of(fleet)
    writes.note(str(bar), {"data": 1.0}, frozenset({"run"}))
    writes.note(str(bar), {"data": 2.0}, frozenset({"run"}))
    fleet.logs.flush(["run"])
    assert not writes
    assert read(fleet, bar).data == 2.0


def test_progress_of_an_artifact_that_is_gone_is_an_error_or_a_warning(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ObjectNotFound, match="there is no artifact"):
        artifacts.update_progress_artifact(uuid4(), 1)
    with pytest.raises(ValueError, match="no id"):
        artifacts.update_progress_artifact("nonsense", 1)
    bar = artifacts.create_progress_artifact(0)
    artifacts.update_progress_artifact(bar, 1)
    artifacts.update_progress_artifact(bar, 2)
    fleet.broker.artifacts.delete([str(bar)])
    fleet.logs.flush()
    assert f"artifact {bar} is lost" in caplog.text


def test_what_could_not_be_written_is_kept_and_newer_values_win(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = str(artifacts.create_progress_artifact(0))
    writes = ProgressWrites(fleet)
    writes.note(bar, {"data": 1.0}, frozenset())
    writes.note(bar, {"data": 2.0, "description": "d"}, frozenset())

    def away(changes: Any) -> list[bool]:
        writes._waiting[bar] = writes._waiting.get(bar, type(next(iter(taken)))({"data": 3.0}, frozenset()))
        raise BrokerUnavailable("away")

    taken = list(writes._waiting.values())
    with monkeypatch.context() as patch:
        patch.setattr(fleet.broker.artifacts, "change", away)
        with pytest.raises(BrokerUnavailable):
            writes.write(None)
    writes.write(None)
    found = read(fleet, UUID(bar))
    assert (found.data, found.description) == (3.0, "d")


# -- pictures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_the_kind_of_a_picture_is_what_its_bytes_say(content: bytes, kind: str | None) -> None:
    assert content_type_of(content) == kind


def test_a_picture_is_kept_by_its_bytes_its_path_or_a_data_url(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"  # the name says nothing
    path.write_bytes(PNG)
    data_url = "data:image/svg+xml;base64,iVBORw0KGgoAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
    for image in (PNG, bytearray(PNG), path, str(path), data_url):
        found = read(fleet, artifacts.create_image_artifact(image))
        assert (found.data, found.image) == (None, ("image/png", 28))
        assert picture_of_record(fleet.broker, found) == (PNG, "image/png")
    assert picture_of("https://example.com/a.png") == Picture(url="https://example.com/a.png")


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (b"<svg onload=alert(1)>", ValueError, "SVG"),
        (b"\n<?xml version='1.0'?><svg>", ValueError, "SVG"),
        (b"<html>", ValueError, "no PNG, JPEG, GIF or WebP"),
        (PNG + b"\0" * MAX_IMAGE_BYTES, ValueError, "at most 5 MB"),
        ("/no/such/file.png", ValueError, "neither"),
        ("javascript:alert(1)", ValueError, "neither"),
        ("file:///etc/passwd", ValueError, "no http or https URL"),
        ("https://", ValueError, "no http or https URL"),
        ("data:image/png;base64,%%%", ValueError, "base64"),
        ("data:text/html,<script>", ValueError, "no PNG"),
        (7, TypeError, "int"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_sentence(image: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        picture_of(image)


def test_an_address_is_never_read_as_a_path() -> None:
    with pytest.raises(ValueError, match="no http or https URL"):
        picture_at(__file__)


# -- reading -------------------------------------------------------------------------------------------------------


def test_pages_of_a_table_are_sorted_and_filtered(fleet: Fleet) -> None:
    rows = [{"n": number, "name": f"Name {number % 7}"} for number in range(2500)]
    record = read(fleet, artifacts.create_table_artifact(rows, key="t"))
    assert record.chunks == 3
    page = page_of(fleet.broker, record, 999, 3)
    assert (page.total, page.rows, page.places) == (
        2500,
        [[n, f"Name {n % 7}"] for n in (999, 1000, 1001)],
        [999, 1000, 1001],
    )
    assert page_of(fleet.broker, record, 2499, 10).places == [2499]
    assert page_of(fleet.broker, record, 9999, 10).rows == []
    newest = page_of(fleet.broker, record, 0, 2, Wanted(column=0, descending=True))
    assert (newest.total, newest.rows) == (2500, [[2499, "Name 0"], [2498, "Name 6"]])
    found = page_of(fleet.broker, record, 1, 2, Wanted(text="NAME 3"))
    assert (found.total, found.places) == (357, [10, 17])
    assert page_of(fleet.broker, record, 0, 2, Wanted(text="3", text_column=1, column=0, descending=True)).places == [
        2495,
        2488,
    ]


def test_a_long_table_is_not_read_whole_for_a_list(fleet: Fleet) -> None:
    record = read(fleet, artifacts.create_table_artifact([[1]] * 11))
    assert json.loads(with_short_table(fleet.broker, record, 11).data) == [[1]] * 11
    short = with_short_table(fleet.broker, record, 10)
    assert short.data is None
    assert (short.metadata_ or {})["rows"] == "11"


def test_artifacts_are_found_by_what_is_said_of_them(fleet: Fleet) -> None:
    run = uuid4()
    for number, key in enumerate(["b", None, "a", "b"]):
        MarkdownArtifact(markdown=str(number), key=key, task_run_id=run if number == 2 else None).create()
    artifacts.create_table_artifact([[1]])
    broker = fleet.broker

    def keys(search: ArtifactSearch, *how: Any) -> list[str | None]:
        assert count(broker, search) == len(find(broker, search))
        return [one.key for one in find(broker, search, *how)]

    assert keys(ArtifactSearch()) == [None, "b", "a", None, "b"]
    assert keys(ArtifactSearch(), "CREATED_DESC", 1, 2) == ["b", "a"]
    assert keys(ArtifactSearch(latest=True), "KEY_ASC") == ["a", "b"]
    assert keys(ArtifactSearch(latest=True), "KEY_DESC") == ["b", "a"]
    assert keys(ArtifactSearch(has_key=True)) == ["b", "a", "b"]
    assert keys(ArtifactSearch(has_key=False)) == [None, None]
    assert keys(ArtifactSearch(keys=["b", "gone"])) == ["b", "b"]
    assert keys(ArtifactSearch(keys=["b"], latest=True)) == ["b"]
    assert keys(ArtifactSearch(task_run_ids=[str(run)])) == ["a"]
    assert keys(ArtifactSearch(task_run_ids=[str(run)], keys=["b"])) == []
    assert keys(ArtifactSearch(ids=[str(uuid4())])) == []
    assert keys(ArtifactSearch(fits=lambda one: one.type == "table")) == [None]
    assert keys(ArtifactSearch(keys=[])) == keys(ArtifactSearch(ids=[])) == keys(ArtifactSearch(flow_run_ids=[])) == []


def test_damaged_parts_cost_only_what_they_describe(fleet: Fleet) -> None:
    artifact_id = artifacts.create_markdown_artifact("a", key="k", description="d")
    (stored,) = fleet.broker.artifacts.read([str(artifact_id)])
    assert stored is not None
    damaged = record_of(stored._replace(data=b"\x02nonsense", facts=b"\x01[]", created_us=10**30, flow_run_id="no id"))
    assert (damaged.data, damaged.description, damaged.flow_run_id, damaged.key) == (None, "d", None, "k")
    assert "its data cannot be read here" in damaged.trouble
    strange = record_of(stored._replace(facts=b'\x01{"table":{"columns":7,"rows":"x"},"link":3,"image":{}}'))
    assert strange.table == ([], 0, "None")
    assert strange.link is None


def test_rows_that_are_gone_are_an_error_of_ours(fleet: Fleet) -> None:
    artifact_id = artifacts.create_table_artifact([[1]], key="k")
    record = read(fleet, artifact_id)
    fleet.broker.artifacts.delete([str(artifact_id)])
    with pytest.raises(SerializationError, match="not there"):
        page_of(fleet.broker, record, 0, 10)
    assert newest_version(fleet.broker, "k") is None


def test_a_type_has_bounds(fleet: Fleet) -> None:
    for wrong in ("", "x" * 101):
        with pytest.raises(ValueError, match="the type of an artifact"):
            write(fleet, Draft(wrong, data=1))


def test_further_pages_of_a_sorted_table_are_not_looked_for_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read(fleet, artifacts.create_table_artifact([{"a": number % 5, "b": "x"} for number in range(30)]))
    wanted = Wanted(column=0)
    first = page_of(fleet.broker, record, 0, 7, wanted)
    monkeypatch.setattr("orchestrator.artifacts.paging._scan", lambda *_: pytest.fail("it is known"))
    second = page_of(fleet.broker, record, 7, 7, wanted)
    assert (first.total, second.total) == (30, 30)
    assert first.places == [0, 5, 10, 15, 20, 25, 1]
    assert second.places == [6, 11, 16, 21, 26, 2, 7]
    monkeypatch.undo()
    other = [page_of(fleet.broker, record, 0, 1, Wanted(column=0, text=str(number))).total for number in range(12)]
    assert other == [6] * 5 + [0] * 7
    assert page_of(fleet.broker, record, 0, 7, wanted) == first


def test_a_text_is_found_within_a_cell_only(fleet: Fleet) -> None:
    record = read(fleet, artifacts.create_table_artifact([["ab", "cd"], [True, None], [1.5, {"k": "Ü"}]]))
    found = {
        text: page_of(fleet.broker, record, 0, 9, Wanted(text=text)).places for text in ("bc", "tru", "1.5", "ü", "nul")
    }
    assert found == {"bc": [], "tru": [1], "1.5": [2], "ü": [2], "nul": []}
