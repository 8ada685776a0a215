"""A short run of the coverage-guided fuzzer; ``make fuzz`` is the long one. Hypothesis fuzzes in tests/unit anyway."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).with_name("fuzz_decoder.py")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed (pip install 'orchestrator[fuzz]'); it has no wheels for this Python or machine",
)


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(FUZZER), *options], capture_output=True, text=True, timeout=110)


@pytest.mark.slow
def test_whatever_a_fuzzer_makes_up_gives_a_value_or_an_error_of_ours(thorough: bool) -> None:
    done = fuzz("--seconds", "10" if thorough else "4", "--seed", "1")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    ran = re.search(r"number_of_executed_units: (\d+)", done.stdout + done.stderr)
    assert ran is not None
    assert int(ran[1]) > 1_000


def test_the_fuzzer_would_tell_of_a_decoder_that_runs_pickles(tmp_path: Path) -> None:
    """The same fuzzer over a decoder that trusts everybody, with one input that says so."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import runpy\n"
        f"fuzzer = runpy.run_path({str(FUZZER)!r})\n"
        "from orchestrator.serializers.reading import Reading\n"
        "Reading.demand_trust = lambda self: None\n"
        "import collections, msgpack, pickle\n"
        "body = msgpack.packb(msgpack.ExtType(3, pickle.dumps(collections.Counter)))\n"
        "fuzzer['refuse_pickles']()\n"
        "fuzzer['one_input'](b'\\x01\\x01' + body)\n"
    )
    done = subprocess.run([sys.executable, str(broken)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 77, done.stderr
    assert "pickle.find_class" in done.stderr
