"""``python -m task_workers.cli``."""

from task_workers.cli.group import main

main()
