"""The documentation site: pages made from code are up to date, every page is in the navigation, every link leads on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from docs.code import gather, reference

ROOT = Path(__file__).parents[2]


def navigation() -> list[str]:
    """The pages that ``mkdocs.yml`` names."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    return [
        page for section in site["nav"] for entries in section.values() for entry in entries for page in entry.values()
    ]


@pytest.mark.parametrize("file", reference.PAGES, ids=lambda file: file.stem)
def test_the_pages_made_from_code_are_those_of_this_code(file: Path) -> None:
    assert file.read_text() == reference.PAGES[file](), "python -m docs.code.reference"


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(navigation()) == sorted(gather.pages())


def test_every_link_to_a_page_or_file_of_the_repository_leads_to_one(tmp_path: Path) -> None:
    gather.Gathering(tmp_path).run()
    written = {file.name for file in tmp_path.glob("*.md")}
    assert written == set(gather.pages())
    for file in tmp_path.glob("*.md"):
        code = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s#]+)", code.sub("", file.read_text())):
            assert re.match(r"[a-z]+:", target) or (tmp_path / target).exists(), f"{file.name}: {target}"


def test_a_link_to_nothing_is_an_error_that_names_the_page(tmp_path: Path) -> None:
    page = ROOT / "docs" / "index.md"
    match = re.fullmatch(gather._LINK, "[a page](nowhere.md)")
    assert match
    with pytest.raises(gather.BrokenLink, match=r"docs/index\.md: \[a page\]\(nowhere\.md\)"):
        gather.Gathering(tmp_path)._link(page, match)


def test_the_readme_links_to_files_that_exist() -> None:
    for target in re.findall(r"\]\(([^)\s#]+)", (ROOT / "README.md").read_text()):
        assert re.match(r"[a-z]+:", target) or (ROOT / target).exists(), target


def test_nothing_is_fetched_from_elsewhere_for_the_site() -> None:
    theme = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["theme"]
    assert theme["font"] is False
    sources = [file.read_text() for file in gather.pages().values()]
    assert not [found for text in sources for found in re.findall(r"!\[[^\]]*\]\(https?:\S+\)|<script\b", text)]


def test_every_command_and_setting_is_on_its_page() -> None:
    from orchestrator.settings import describe
    from task_workers.cli.group import COMMANDS

    commands, settings = (file.read_text() for file in reference.PAGES)
    for name in COMMANDS:
        assert f"\n## orchestrator {name}\n" in commands
    for setting in describe():
        assert f"\n| `{setting.variable}` |" in settings
