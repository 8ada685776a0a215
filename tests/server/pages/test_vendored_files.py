"""What others wrote is here as they wrote it, named and licensed; nothing else is loaded by a page."""

from __future__ import annotations

import hashlib
import re
import tomllib

from orchestrator.server.pages.rendering import HERE, HTMX, STATIC

VENDOR = STATIC / "vendor"
RECORDS = {record["name"]: record for record in tomllib.loads((VENDOR / "VENDORED.toml").read_text())["file"]}


def test_every_vendored_file_is_recorded_and_is_the_one_that_was_recorded() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir()}
    found.pop("VENDORED.toml")
    assert found == {name: record["sha256"] for name, record in RECORDS.items()}


def test_every_package_comes_with_its_license_and_its_version_in_the_name_of_its_script() -> None:
    for package in {record["package"] for record in RECORDS.values()}:
        mine = [record for record in RECORDS.values() if record["package"] == package]
        assert any("LICENSE" in record["name"] for record in mine)
        assert all(record["version"] in record["name"] for record in mine if record["name"].endswith(".js"))


def test_the_pages_load_the_recorded_htmx_and_files_of_ours() -> None:
    assert HTMX in RECORDS
    base = (HERE / "templates" / "base.html").read_text()
    loaded = re.findall(r'(?:src|href)="\{\{ root \}\}/static/([^"?]+)', base)
    assert loaded
    for name in loaded:
        assert (STATIC / name.replace("{{ htmx }}", HTMX)).is_file(), name
