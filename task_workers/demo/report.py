"""What the demo prints."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from task_workers.demo.checking import Check, Findings
from task_workers.demo.stdlib_metrics import Ranking

MAX_ERRORS: Final = 12


class Report:
    """Lines and tables on standard output."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def say(self, text: str) -> None:
        """A line."""
        self._console.print(escape(text), soft_wrap=True)

    def beginning(self, packages: dict[str, list[str]], children: Iterable[int]) -> None:
        """What is about to be done."""
        paths = [path for some in packages.values() for path in some]
        megabytes = sum(Path(path).stat().st_size for path in paths) / 1e6
        self.say(
            f"{len(paths):,} files ({megabytes:.1f} MB) in {len(packages)} packages of the standard library of Python "
            f"{platform.python_version()}, on worker processes {', '.join(map(str, children))}"
        )

    def table(self, ranking: Ranking) -> None:
        """The largest packages."""
        table = Table(title=f"The {len(ranking.largest)} largest packages")
        table.add_column("package")
        columns = ("files", "broken", "lines", "functions", "classes", "branches")
        for name in columns:
            table.add_column(name, justify="right")
        for package in ranking.largest:
            table.add_row(escape(package.name), *(f"{getattr(package.numbers, name):,}" for name in columns))
        table.add_section()
        table.add_row("all packages", *(f"{getattr(ranking.total, name):,}" for name in columns))
        self._console.print(table)

    def failures(self, found: Findings) -> None:
        """The files that do not parse."""
        self.say(f"{len(found.failed)} files do not parse:")
        for path, future in list(found.failed.items())[:MAX_ERRORS]:
            state = future.state
            self.say(f"  {'/'.join(Path(path).parts[-3:])}: {state.message} ({state.run_count} attempts)")
        if len(found.failed) > MAX_ERRORS:
            self.say(f"  and {len(found.failed) - MAX_ERRORS} more")

    def murder(self, killed: int | None, found: Findings) -> None:
        """What became of the calls of the process that was killed."""
        self.say(
            f"process {killed} was killed (SIGKILL) half-way: {found.redelivered} calls that it had taken were "
            f"given to the others, {found.started_again} of them had begun and were started again"
        )

    def checks(self, checks: Iterable[Check]) -> bool:
        """Whether all are true."""
        results = list(checks)
        for check in results:
            self._console.print("[green]ok[/]" if check.is_true else "[red]WRONG[/]", end="  ")
            self.say(check.what)
        return all(check.is_true for check in results)

    def ending(self, found: Findings, seconds: float) -> None:
        """How long it took."""
        self.say(f"{found.calls:,} calls in {seconds:.1f} s: {found.calls / seconds:,.0f} calls/s")
