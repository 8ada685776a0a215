"""``orchestrator completion``: completion of commands and options in a shell."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Write the script that completes commands and options.

    \b
    eval "$(orchestrator completion bash)"                                  # in ~/.bashrc
    eval "$(orchestrator completion zsh)"                                   # in ~/.zshrc
    orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish
    """
    from click.shell_completion import get_completion_class

    from task_workers.cli.group import command as all_commands

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(all_commands, {}, "orchestrator", "_ORCHESTRATOR_COMPLETE").source())
