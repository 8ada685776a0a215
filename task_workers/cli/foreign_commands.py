"""Commands and options of Celery and Prefect, and their equivalents here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

_NO_BEAT: Final = (
    "there is no scheduler process: workers fire schedules; `my_task.schedule(NAME, cron=...)` declares one, "
    "`orchestrator schedule ls` lists them"
)
_NO_CLOUD: Final = (
    "there is no cloud to log into: programs find the store by ORCHESTRATOR_REDIS_URL; the dashboard is "
    "`orchestrator server start`"
)

COMMANDS: Final = {
    # Celery
    "beat": _NO_BEAT,
    "inspect": "`orchestrator workers ls`, `workers ping`, `runs ls --state running`, `queues ls`, `top`",
    "status": "who is alive: `orchestrator workers ls`; for probes `orchestrator check --workers`",
    "purge": "waiting calls are cancelled by queue: `orchestrator queues purge QUEUE`",
    "control": "`orchestrator workers pause|resume|stop NAME`, `queues pause|resume QUEUE`, `runs cancel RUN_ID`",
    "flower": "the dashboard: `orchestrator server start`",
    "multi": "one worker has several processes: `orchestrator worker -A APP -c 4`; start one for each set of options",
    "call": "send a call: `orchestrator task delay NAME ARG... -A APP`",
    "result": "a result: `orchestrator runs show RUN_ID`",
    "list": "`orchestrator queues ls`, `workers ls`, `runs ls`, `task ls -A APP`",
    "report": "`orchestrator version`, `orchestrator config show`, `orchestrator check`",
    "shell": "use `python`: import your tasks and call `.delay()` or `.submit()`",
    "migrate": "calls stay in the store; nothing has to be migrated when queues or workers change",
    # Prefect
    "agent": (
        "there are no agents: `orchestrator serve FILE:FLOW` and `orchestrator worker start --pool POOL` run flows, "
        "`orchestrator worker -A APP` tasks"
    ),
    "auth": _NO_CLOUD,
    "backend": _NO_CLOUD,
    "create": "there are no projects; `orchestrator deploy FILE:FLOW -n NAME` makes a deployment, `serve` runs it",
    "describe": "`orchestrator deployment inspect NAME`, `flow-run inspect ID`, `runs show ID`",
    "execute": "`orchestrator run MODULE:FLOW` runs a flow here; its deployment: `orchestrator deployment run NAME`",
    "get": "`orchestrator flow ls`, `deployment ls`, `flow-run ls`, `runs ls`",
    "register": "flows are not registered; `orchestrator deploy FILE:FLOW -n NAME` makes a deployment, `serve` runs it",
    "init": "nothing has to be initialized: `orchestrator deploy FILE:FLOW -n NAME`, or write an orchestrator.yaml "
    "(prefect.yaml is read, too) for `orchestrator deploy --all`",
    "api": "the API is below /api of `orchestrator server start`; from Python it is `orchestrator.get_client()`",
    "result-storage": "where results go is a setting: `orchestrator config set default_result_storage=FOLDER_OR_BLOCK`",
    "sdk": "deployments are run by name: `run_deployment('flow/deployment', parameters={...})`, which checks them",
    "task-run": "task runs: `orchestrator runs ls`, `runs show ID`, `runs logs ID`",
    "concurrency-limit": (
        'tags have no limits here: name one with `@task(concurrency=("database", 5))`, and change it while calls wait '
        "with `orchestrator gcl create database --limit 5`, `gcl update`"
    ),
    "global-concurrency-limit": "`orchestrator gcl create|ls|inspect|update|enable|disable|delete`",
    "profiles": "`orchestrator profile ls|create|use|inspect|rename|delete`",
    "dashboard": "`orchestrator server start`",
    "orion": "`orchestrator server start`",
    "cloud": _NO_CLOUD,
    "logs": "`orchestrator runs logs RUN_ID`",
    "help": "`orchestrator --help`, `orchestrator COMMAND --help`",
    "ps": "`orchestrator workers ls`, `orchestrator runs ls --state running`",
}

OF_WORKERS: Final = {
    "-P": "a worker has processes (-c), threads in each (--threads) and an event loop (--async-concurrency)",
    "--autoscale": "a worker has a fixed number of processes: -c N; to scale, start more workers (docs: deploying)",
    "-B": _NO_BEAT,
    "-E": "nothing has to be switched on: `orchestrator top` and the dashboard always know",
    "-O": "workers take as much as they can run; there is nothing to set",
    "-D": "a worker stays in the foreground: let systemd, a container or `nohup` keep it",
    "-f": "a worker writes to standard error: `orchestrator worker ... 2> FILE`",
    "--pidfile": "a worker stays in the foreground: let systemd or a container keep it",
    "--prefetch-multiplier": "workers take as much as they can run in a moment; there is nothing to set",
    "--soft-time-limit": "time limits are options of tasks: `@task(timeout_seconds=60)`",
    "--time-limit": "time limits are options of tasks: `@task(hard_timeout_seconds=60)`",
    "--hostname": "a worker's name is -n NAME",
    "--without-gossip": "workers do not gossip; leave it out",
    "-X": "name the queues that it reads: -Q high,default",
}
_LONG: Final = {
    "--pool": "-P",
    "--beat": "-B",
    "--task-events": "-E",
    "--events": "-E",
    "--optimization": "-O",
    "--detach": "-D",
    "--logfile": "-f",
    "--without-mingle": "--without-gossip",
    "--without-heartbeat": "--without-gossip",
    "--exclude-queues": "-X",
}


def answer(args: Sequence[str], commands: Collection[str]) -> str | None:
    """A hint for a command of Celery or Prefect; ``None`` for anything else.

    >>> answer(["-A", "shop", "worker", "-c", "2"], ["worker"])
    'the app comes after the command: orchestrator worker -A shop -c 2'
    >>> answer(["worker", "-A", "shop"], ["worker"]) is None
    True
    """
    if not args:
        return None
    first = args[0]
    if first in ("-A", "--app") or first.startswith(("--app=", "-A")):
        return _app_first(args, commands)
    if first in commands:
        return _of_worker(args[1:]) if first == "worker" else None
    return COMMANDS.get(first)


def _app_first(args: Sequence[str], commands: Collection[str]) -> str:
    apart = args[0] in ("-A", "--app")
    app, rest = args[: 1 + apart], args[1 + apart :]
    if rest and rest[0] in COMMANDS and rest[0] not in commands:
        return COMMANDS[rest[0]]
    command, *more = rest or ["worker"]
    return f"the app comes after the command: orchestrator {' '.join([command, *app, *more])}"


def _of_worker(args: Sequence[str]) -> str | None:
    if args[:1] == ["start"]:
        return None  # of a work pool
    for word in args:
        option = word.partition("=")[0]
        option = option if option.startswith("--") else option[:2]
        option = _LONG.get(option, option)
        if option in OF_WORKERS:
            return OF_WORKERS[option]
    return None
