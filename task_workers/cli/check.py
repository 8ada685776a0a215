"""``orchestrator check``: for probes and for people. Exit code 0 when a worker could work now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from task_workers.cli.terminal import as_json, echo_json, say

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet


@click.command("check")
@click.option("--workers", is_flag=True, help="Also require at least one live worker.")
@as_json
def command(workers: bool, as_json: bool) -> None:
    """Ask the server whether it answers and is fit, and whether workers live.

    Where Celery carries the calls, its broker is asked, too. The exit code is 0 when they answer (warnings do not
    change that), 1 when one does not, 3 when --workers finds none.
    """
    from orchestrator.client.fleet import current_fleet

    fleet = current_fleet()
    found = [*fleet.broker.health.warnings(), *_about_keys(fleet)]
    if (carrier := fleet.broker.carrier) is not None:
        carrier.check()
    alive = fleet.live_workers()
    working = sum("tasks" in facts for facts in alive.values())
    if as_json:
        echo_json({"ok": bool(working) or not workers, "workers": working, "warnings": found})
    else:
        for warning in found:
            say(f"warning: {warning}", err=True)
        say(f"the server answers; {working} live worker processes; {len(found)} warnings")
    if workers and not working:
        raise SystemExit(3)


def _about_keys(fleet: Fleet) -> list[str]:
    """Secrets of blocks that need another key than the one in use."""
    if not fleet.broker.documents.newest("block", 0, 1)[0]:  # nothing of blocks is imported for nothing
        return []
    from orchestrator.blocks.rekeying import key_use

    use = key_use(fleet)
    found = [f"{use.older} secrets of blocks still need an older key: orchestrator block rekey"] if use.older else []
    if use.missing:
        found.append(f"{use.missing} secrets of blocks need a key that is not in ORCHESTRATOR_ENCRYPTION_KEY here")
    return found
