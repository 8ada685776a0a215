"""``orchestrator demo``: count the standard library on worker processes, and prove that the numbers add up.

``stdlib_metrics``: the tasks and the flow, what a user would write. ``library``: which files. ``worker_process``: the
worker beside us, and its murder. ``checking``: does it all add up? ``report``: what is printed. ``main``: the order.
"""

from __future__ import annotations


def main_demo(kill_worker: bool = False, processes: int = 2, limit: int | None = None) -> int:
    """Run the demo; returns its exit status, 0 when every number adds up.

    Args:
        kill_worker: kill one worker process half-way, with SIGKILL.
        processes: how many worker processes.
        limit: measure so many files only.
    """
    from task_workers.demo.main import demo

    return demo(kill_worker, processes, limit)
