"""``orchestrator acl``: the rights that the server's user needs."""

from __future__ import annotations

import click

from task_workers.cli.terminal import say


@click.command("acl")
@click.option("--user", default="orchestrator", show_default=True, help="Name of the user.")
def command(user: str) -> None:
    """Print the ACL SETUSER line of a user who may do what is needed in this namespace, and nothing else."""
    from brokers.connect import acl_rules
    from orchestrator.settings import current

    say(acl_rules(current().namespace, user))
