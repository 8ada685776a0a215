"""Reading what a worker shows at its ports, as a scraper and a probe would."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.worker_process import WorkerProcess

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def address_of(worker: WorkerProcess, path: str) -> str:
    """Where a worker shows a path, as it says itself."""
    pattern = rf"{path}[^\n]* at (http://[0-9.:]+)"
    worker.wait_output(pattern)
    found = re.search(pattern, worker.output)
    assert found
    return found[1] + path


def asked(url: str) -> tuple[int, str]:
    """Status and text of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def probed(url: str) -> tuple[int, dict[str, Any]]:
    """Status and facts of a probe."""
    status, text = asked(url)
    return status, json.loads(text)


def scraped(url: str) -> Samples:
    """Every sample of a page."""
    status, text = asked(url)
    assert status == 200, text
    return samples_of(text)


def samples_of(text: str) -> Samples:
    """Every sample in the text of a page."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value_of(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of that name which have these labels."""
    wanted = set(labels.items())
    found = [value for (known, own), value in samples.items() if known == name and wanted <= own]
    assert found, f"no {name} with {labels} among {sorted({known for known, _ in samples})}"
    return sum(found)
