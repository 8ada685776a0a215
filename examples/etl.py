"""Extract, transform, load, on a bad day: one source answers late, one not at all, and the rest is loaded anyway.

Shows retries with growing delays, results that are found again instead of computed, hooks, and `allow_failure`.
"""

from datetime import timedelta
from typing import Any

from orchestrator import allow_failure, flow, get_run_logger, task
from orchestrator.cache_policies import INPUTS
from orchestrator.runtime import task_run
from orchestrator.tasks import exponential_backoff

SHOPS = {"berlin": [12, 30, 7], "lagos": [5, 5, 5, 90], "lima": [41], "oslo": [8, 16]}


def tell_someone(task: Any, run: Any, state: Any) -> None:
    """A hook: runs where the task ran, after its last attempt."""
    get_run_logger().error("%s gave up after %d attempts: %s", run.name, run.run_count, state.message)


@task(
    retries=2, retry_delay_seconds=exponential_backoff(0.1), task_run_name="extract-{shop}", on_failure=[tell_someone]
)
def extract(shop: str) -> list[int]:
    if shop == "oslo":
        raise ConnectionError("oslo is closed today")
    if shop == "lagos" and task_run.run_count < 3:
        raise TimeoutError("lagos did not answer")  # it will, the third time
    return SHOPS[shop]


@task(cache_policy=INPUTS, cache_expiration=timedelta(minutes=10))
def transform(sales: list[int]) -> dict[str, int]:
    return {"count": len(sales), "total": sum(sales)}


@task
def load(shops: list[str], results: list[dict[str, int] | Exception]) -> dict[str, int]:
    """A shop whose numbers are missing comes as the exception that says why."""
    report = {shop: result["total"] for shop, result in zip(shops, results, strict=True) if isinstance(result, dict)}
    get_run_logger().info("loaded %d of %d shops", len(report), len(shops))
    return report


@flow(on_completion=[lambda flow, run, state: print(f"{run.name}: {state.name}")])
def daily_sales() -> dict[str, int]:
    extracted = extract.map(SHOPS)
    transformed = transform.map(extracted)  # oslo's never starts: there is nothing to transform
    report = load.submit(list(SHOPS), [allow_failure(future) for future in transformed])
    loaded = report.result()
    for shop, first, second in zip(SHOPS, extracted, transformed, strict=True):
        print(f"{shop:8}{first.state.name:11}after {first.state.run_count} attempts, then {second.state.name}")
    return loaded


if __name__ == "__main__":
    print(daily_sales())
    print(daily_sales())  # the same sales again: transformed already
