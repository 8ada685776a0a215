"""A small shop whose fleet the dashboard shows: work that goes well, badly, slowly, and in flows."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from orchestrator import flow, get_run_logger, progress, runtime, tags, task, unmapped


@task
def charge_card(order: int, api_token: str = "") -> str:
    return f"order {order} is paid"


@task(tags=["mail"])
def send_receipt(order: int) -> str:
    if order == 7:
        raise ConnectionError("the mail server refused order 7: <script>alert('subject')</script>")
    if order % 40 == 7:
        raise ConnectionError(f"the mail server refused the receipt of order {order}: 421 too many connections")
    return "<script>alert('receipt 0')</script>" if order == 0 else f"receipt {order} is sent"


@task
def render_invoice(order: int) -> int:
    time.sleep(0.002)
    return order


@task
def mend(folder: str) -> str:
    """Fails until the test puts a file there."""
    if not (Path(folder) / "mended").exists():
        raise RuntimeError("the folder is empty")
    return "mended"


@task(retries=3, retry_delay_seconds=3600)
def ask_the_bank(account: str) -> None:
    raise TimeoutError(f"the bank did not answer for {account}")


@task
def import_catalogue(folder: str) -> str:
    """Tells of its progress, and goes on until it is stopped or there is a file."""
    log = get_run_logger()
    for page in range(1, 1_000_000):
        if (Path(folder) / "enough").exists():
            break
        progress.set(min(page, 40), total=100, note=f"page {min(page, 40)}")
        if page < 30:
            log.info("read page %d of %s", page, "<b>the catalogue</b>" if page == 27 else "the catalogue")
        time.sleep(0.05)
    return "imported"


@task(max_deliveries=1)
def crash_the_worker() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task
def load_orders(count: int) -> int:
    time.sleep(0.05)
    return count


@task
def check_order(order: int, of: int) -> int:
    time.sleep(0.001)
    if order == 13:
        raise ValueError("order 13 has no address")
    return order


@task
def count_stock(loaded: int) -> int:
    time.sleep(0.08)
    return loaded


@task
def plan_purchases(stock: int) -> int:
    time.sleep(0.06)
    return stock


@task
def write_report(loaded: int, purchases: int) -> str:
    return f"{loaded} orders, {purchases} purchases"


@flow
def nightly(count: int) -> str:
    with tags("nightly"):
        loaded = load_orders.submit(count)
        checked = check_order.map(list(range(count)), of=unmapped(loaded))
        purchases = plan_purchases.submit(count_stock.submit(loaded))
        checked.wait()
        get_run_logger().info("%d orders are checked", count)
        return write_report.submit(loaded, purchases).result()


@task
def dig(depth: int, left: int | None = None) -> None:
    """Fails from deep inside, through functions that are not all the same: equal lines would be folded."""
    left = depth if left is None else left
    if left == 0:
        raise RecursionError(f"{depth} deep")
    exec(f"def down_{left}(deeper):\n    deeper()\n", scope := {})
    scope[f"down_{left}"](lambda: dig.fn(depth, left - 1))


@task
def count_drawer(drawer: int) -> int:
    if drawer == 3:
        raise LookupError("drawer 3 is locked")
    return drawer


@task(name="bank the takings", task_run_name="bank {total}")
def bank(total: int) -> int:
    return total


@flow
def count_till(till: int) -> int:
    return count_drawer.submit(till).result()


@flow
def evening(tills: list[int], note: str, api_token: str = "tok-of-the-evening") -> int:
    """Fails with a till of 3, after what does not need it."""
    good = sum(count_till(till) for till in tills if till != 3)
    bank.submit(good).result()
    if 3 in tills:
        locked = count_drawer.submit(3)
        bank.submit(locked).wait()
        raise ValueError(f"not all tills are counted: {note}")
    return good


@flow
def endless(folder: str) -> None:
    """Goes on until its runs are cancelled."""
    imports = [import_catalogue.submit(folder), import_catalogue.submit(folder)]
    (Path(folder) / "endless").write_text(str(runtime.flow_run.id))
    for future in imports:
        future.wait()
