"""Groups of commands that also answer to other words which people try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click


class AliasGroup(click.Group):
    """A group some of whose commands have further names, which its help does not list.

    Args:
        aliases: further name -> the command that it means.
    """

    def __init__(self, *args: Any, aliases: Mapping[str, str], **more: Any) -> None:
        super().__init__(*args, **more)
        self._aliases = dict(aliases)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, self._aliases.get(cmd_name, cmd_name))
