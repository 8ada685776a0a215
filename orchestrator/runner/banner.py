"""What a process says when it begins to serve."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.runner.served_deployment import ServedDeployment


def starting_message(served: Sequence[ServedDeployment]) -> str:
    """The lines, for standard output.

    >>> print(starting_message([ServedDeployment("", "daily-etl/nightly", "s-0123456789ab")]))
    Your flow 'daily-etl' is being served and polling for scheduled runs!
    <BLANKLINE>
    To trigger a run for this flow, use the following command:
    <BLANKLINE>
            $ orchestrator deployment run 'daily-etl/nightly'
    <BLANKLINE>
    """
    parts = _of_one(served[0]) if len(served) == 1 else _of_many(served)
    local = [each.name for each in served if each.is_local]
    if local:
        parts.append(
            f"In no file, so that their runs are threads of this process, not processes: {', '.join(local)}. "
            "Cancelling such a run reaches it when it next comes back to Python.\n"
        )
    return "\n".join(parts)


def _of_one(one: ServedDeployment) -> list[str]:
    flow = one.name.partition("/")[0]
    return [
        f"Your flow {flow!r} is being served and polling for scheduled runs!\n",
        "To trigger a run for this flow, use the following command:\n",
        f"        $ orchestrator deployment run {one.name!r}\n",
    ]


def _of_many(served: Sequence[ServedDeployment]) -> list[str]:
    return [
        "Your deployments are being served and polling for scheduled runs!\n",
        *(f"        {each.name}" for each in served),
        "\nTo trigger any of these deployments, use the following command:\n",
        "        $ orchestrator deployment run [DEPLOYMENT_NAME]\n",
    ]
