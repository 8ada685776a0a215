"""The first thing a newcomer does: save the README's example and run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text()
    match = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert match
    (tmp_path / "words.py").write_text(match[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    done = subprocess.run(
        [sys.executable, "words.py"],
        cwd=tmp_path,
        env={**environment, "ORCHESTRATOR_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said = re.search(r"# (\d+)\n```", page)
    assert said
    assert done.stdout.strip() == said[1]


def test_the_targets_and_commands_that_the_readme_names_exist() -> None:
    page = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:`|^)make ([a-z]+)", page, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    from task_workers.cli.group import COMMANDS

    for command in set(re.findall(r"`orchestrator ([a-z]+)", page)):
        assert command in COMMANDS, command
