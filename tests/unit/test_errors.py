from __future__ import annotations

import pickle
import re

import pytest

from brokers import errors as carriage
from orchestrator import errors
from orchestrator.errors import OrchestratorError, RemoteError, RemoteTraceback, RunCrashed, RunLost
from orchestrator.states import Crashed

OURS = [getattr(errors, name) for name in errors.__all__]
EXAMPLES = [
    *(kind("what happened") for kind in OURS if kind is not RemoteError),
    RemoteError("shop.OutOfStock", "no tea", "Traceback ..."),
    errors.UpstreamTaskError("no", upstream_run_id="abc"),
    RunCrashed("gone", state=Crashed(message="gone", run_count=2)),
    errors.TaskTimeout(),
    errors.RunCancelled(),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_survives_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_error_but_the_traceback_note_is_of_the_family(kind: type[Exception]) -> None:
    assert issubclass(kind, OrchestratorError) is (kind is not RemoteTraceback)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^([ │├└─]*)([A-Z]\w+)", (errors.__doc__ or "").split("::", 1)[1], re.MULTILINE)
    parents: list[tuple[int, str]] = []
    for branch, name in drawn:
        depth = len(branch)
        parents = [*(parent for parent in parents if parent[0] < depth), (depth, name)]
        if len(parents) > 1:
            bases = {base.__name__ for base in getattr(errors, name).__mro__}
            assert parents[-2][1] in bases, name
    assert {name for _, name in drawn} == set(errors.__all__)


def test_the_carriage_errors_are_the_same_classes() -> None:
    names = [name for name, value in vars(carriage).items() if isinstance(value, type)]
    assert all(getattr(errors, name) is getattr(carriage, name) for name in names)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.SerializationError, ValueError),
        (errors.ConfigurationError, ValueError),
        (errors.ParameterBindError, TypeError),
        (errors.ParameterTypeError, TypeError),
        (errors.ReservedArgumentError, TypeError),
        (errors.MappingLengthMismatch, ValueError),
        (errors.MappingMissingIterable, ValueError),
        (errors.UnknownTask, LookupError),
        (errors.TaskTimeout, TimeoutError),
        (RunLost, RunCrashed),
    ],
)
def test_an_error_is_also_what_people_would_catch(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


def test_a_remote_traceback_reads_as_the_cause() -> None:
    assert str(RemoteTraceback("File x, line 1")) == "\nFile x, line 1"
