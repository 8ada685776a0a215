"""What becomes of the schedules that code declares, when several versions of it meet in one store."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from orchestrator.client.fleet import current_fleet
from orchestrator.scheduling import edit
from orchestrator.scheduling.applying import apply_declarations, id_of_task_schedule
from orchestrator.scheduling.code_version import CodeVersion
from orchestrator.scheduling.declarations import declarations, forget_declarations
from orchestrator.scheduling.declaring_modules import KIND
from orchestrator.scheduling.lookup import find_schedule
from orchestrator.testing import inline

HEAD = "from orchestrator import task\n@task\ndef load(n=0): ...\n@task\ndef wait(event=None): ...\n"
NIGHTLY = "load.schedule('nightly', cron='0 3 * * *')\n"
HOURLY = "load.schedule('hourly', cron='0 * * * *')\n"


class Apps:
    """Modules of code that come and go, as the processes of a rolling deployment have them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: set[str] = set()

    def process(self, written_at: int = 1_000, **code: str) -> None:
        """Be a process that has just imported these modules, whose files were written then."""
        forget_declarations()
        for name in self._loaded:
            sys.modules.pop(name, None)
        for name, text in code.items():
            file = self._folder / f"{name}-{written_at}.py"
            file.write_text(text)
            os.utime(file, (written_at, written_at))
            module = ModuleType(name)
            module.__file__ = str(file)
            sys.modules[name] = module
            self._loaded.add(name)
            exec(compile(HEAD + text, file, "exec"), vars(module))

    def applied(self, **how: bool) -> dict[str, str]:
        """What applying comes to: names and words."""
        return {one.name: one.what for one in apply_declarations(current_fleet(), declarations(), **how)}

    def close(self) -> None:
        self.process()


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[Apps]:
    with inline():
        made = Apps(tmp_path)
        yield made
        made.close()


def cron_of(name: str) -> str | None:
    schedule = find_schedule(current_fleet(), name).record.schedule
    return schedule.cron if schedule is not None else None


def test_applying_again_changes_nothing(apps: Apps) -> None:
    apps.process(beat=NIGHTLY + HOURLY)
    assert apps.applied() == {"hourly": "created", "nightly": "created"}
    audited = len(current_fleet().broker.documents.audit())
    apps.process(beat=NIGHTLY + HOURLY, written_at=999)
    assert apps.applied() == {"hourly": "older", "nightly": "older"}
    apps.process(beat=NIGHTLY + HOURLY)
    assert apps.applied() == {"hourly": "unchanged", "nightly": "unchanged"}
    assert len(current_fleet().broker.documents.audit()) == audited


def test_the_newer_of_two_versions_wins_whoever_starts_last(apps: Apps) -> None:
    apps.process(beat=NIGHTLY, written_at=1_000)
    apps.applied()
    apps.process(beat=NIGHTLY.replace("3", "4"), written_at=2_000)
    assert apps.applied() == {"nightly": "changed"}
    apps.process(beat=NIGHTLY, written_at=1_000)
    assert apps.applied() == {"nightly": "older"}
    assert cron_of("nightly") == "0 4 * * *"
    assert apps.applied(force=True) == {"nightly": "changed"}
    assert cron_of("nightly") == "0 3 * * *"


def test_versions_that_are_named_count_more_than_files(apps: Apps) -> None:
    versioned = "load.schedule('nightly', cron='0 {} * * *', version='{}')\n"
    apps.process(beat=versioned.format(3, "2.10"), written_at=1_000)
    apps.applied()
    apps.process(beat=versioned.format(4, "2.9"), written_at=2_000)
    assert apps.applied() == {"nightly": "older"}
    apps.process(beat=versioned.format(5, "2.11"), written_at=500)
    assert apps.applied() == {"nightly": "changed"}


def test_what_vanishes_from_the_code_is_news_once_and_deleted_when_pruned(apps: Apps) -> None:
    apps.process(beat=NIGHTLY + HOURLY)
    apps.applied()
    apps.process(beat=HOURLY, written_at=2_000)
    first = apply_declarations(current_fleet(), declarations())
    again = apply_declarations(current_fleet(), declarations())
    assert [(one.name, one.what, one.is_news) for one in first] == [
        ("hourly", "unchanged", True),
        ("nightly", "vanished", True),
    ]
    assert not again[1].is_news
    apps.process(beat=NIGHTLY + HOURLY, written_at=1_000)
    assert apps.applied(prune=True) == {"hourly": "older", "nightly": "older"}, (
        "an older version neither adds nor takes"
    )
    apps.process(beat=HOURLY, written_at=2_000)
    assert apps.applied(prune=True) == {"hourly": "unchanged", "nightly": "deleted"}
    assert apps.applied(prune=True) == {"hourly": "unchanged"}
    assert edit.read(current_fleet(), [id_of_task_schedule("nightly")]) == [None]


def test_a_module_that_is_gone_from_its_package_takes_its_schedules_along(apps: Apps) -> None:
    apps.process(**{"shop": "", "shop.mails": NIGHTLY})
    apps.applied()
    apps.process(shop="", written_at=2_000)
    assert apps.applied() == {"nightly": "vanished"}
    apps.process(other="", written_at=2_000)
    assert apps.applied() == {}, "it is no matter of other apps"


def test_a_schedule_that_moves_to_another_module_of_the_app_is_the_same(apps: Apps) -> None:
    apps.process(**{"shop": "", "shop.mails": NIGHTLY})
    apps.applied()
    apps.process(**{"shop": "", "shop.letters": NIGHTLY}, written_at=2_000)
    assert apps.applied() == {"nightly": "changed"}
    apps.process(**{"shop": "", "shop.letters": NIGHTLY}, written_at=2_000)
    assert apps.applied(prune=True) == {"nightly": "unchanged"}


def test_the_name_of_another_apps_schedule_is_taken(apps: Apps) -> None:
    apps.process(first=NIGHTLY)
    apps.applied()
    apps.process(second=NIGHTLY, written_at=9_000)
    (one,) = apply_declarations(current_fleet(), declarations())
    assert one.what == "taken"
    assert "module first" in one.why
    apps.process(second="", written_at=9_999)
    assert apps.applied(prune=True) == {}, "what was never its own is not deleted"
    assert find_schedule(current_fleet(), "nightly").record.more["module"] == b"first"


def test_a_pause_by_people_survives_a_change_of_the_code(apps: Apps) -> None:
    apps.process(beat=NIGHTLY)
    apps.applied()
    the_id = id_of_task_schedule("nightly")
    edit.pause(current_fleet(), the_id, "holidays")
    apps.process(beat=NIGHTLY.replace("3", "4"), written_at=2_000)
    assert apps.applied() == {"nightly": "changed"}
    (record,) = edit.read(current_fleet(), [the_id])
    assert record is not None
    assert (record.active, record.reason, record.due_ms) == (False, "holidays", None)


def test_one_that_was_deleted_by_hand_comes_back_with_the_next_worker(apps: Apps) -> None:
    apps.process(beat=NIGHTLY)
    apps.applied()
    edit.delete(current_fleet(), [id_of_task_schedule("nightly")])
    assert apps.applied() == {"nightly": "created"}


def test_one_whose_call_cannot_be_made_does_not_stop_the_others(apps: Apps) -> None:
    odd = "wait.schedule('odd', cron='@daily', parameters={'event': __import__('threading').Lock()})\n"
    apps.process(beat=odd + NIGHTLY)
    refused, created = sorted(apply_declarations(current_fleet(), declarations()), key=lambda one: one.name)[::-1]
    assert (refused.name, refused.what, created.what) == ("odd", "refused", "created")
    assert "lock" in refused.why


@pytest.mark.parametrize("names", [b"", b"\xc1", b"\x01", b"\x92\x01\xa1a"])
def test_a_damaged_note_of_a_module_costs_what_it_says(apps: Apps, names: bytes) -> None:
    damage: dict[str, Any] = {"names": names, "vanished": names, "version": b"\xff", "newest": b"x"}
    current_fleet().broker.documents.write(KIND, "beat", damage)
    apps.process(beat=NIGHTLY)
    assert apps.applied() == {"nightly": "created"}


@pytest.mark.parametrize(
    ("mine", "other", "newer"),
    [
        (CodeVersion("2.0", 1), CodeVersion("1.9", 2), True),
        (CodeVersion("2.0", 1), CodeVersion("2.0", 2), False),
        (CodeVersion(None, 3), CodeVersion("2.0", 2), True),
        (CodeVersion("mine", 1), CodeVersion("2.0", 2), False),
        (CodeVersion(None, 1), CodeVersion(None, 1), False),
    ],
)
def test_which_code_is_newer(mine: CodeVersion, other: CodeVersion, newer: bool) -> None:
    assert mine.is_newer_than(other) is newer
