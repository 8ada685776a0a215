"""Task runners are found, by people and by pickles, where Prefect has them."""

from __future__ import annotations

import pickle

import pytest

from orchestrator import task_runners


@pytest.mark.parametrize("name", ["FleetTaskRunner", "ProcessPoolTaskRunner", "ThreadPoolTaskRunner"])
def test_a_pickle_names_the_place_that_users_import_from(name: str) -> None:
    kind = getattr(task_runners, name)
    assert b"orchestrator.task_runners" in pickle.dumps(kind)
    assert pickle.loads(pickle.dumps(kind)) is kind


def test_all_names_are_there_and_no_others() -> None:
    assert set(task_runners.__all__) <= set(dir(task_runners))
    assert all(isinstance(getattr(task_runners, name), type) for name in task_runners.__all__)
    assert task_runners.ConcurrentTaskRunner is task_runners.ThreadPoolTaskRunner
    with pytest.raises(AttributeError, match="no attribute 'DaskTaskRunner'"):
        task_runners.DaskTaskRunner  # noqa: B018
