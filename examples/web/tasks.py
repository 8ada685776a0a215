"""What the web application leaves to the workers: `orchestrator worker -A examples/web/tasks.py`."""

import asyncio
import time

from orchestrator import get_run_logger, progress, task


@task
def make_report(customer: str, pages: int, seconds_per_page: float = 0.0) -> str:
    if pages > 1000:
        raise ValueError(f"{pages} pages are too many")
    for page in range(1, pages + 1):
        time.sleep(seconds_per_page)  # here your report would be made
        progress.set(page, total=pages, note=f"page {page}")
    get_run_logger().info("the report for %s is ready", customer)
    return f"{pages} pages for {customer}"


@task(retries=3, retry_delay_seconds=[1, 5, 30])
async def send_mail(to: str, text: str) -> str:
    await asyncio.sleep(0)  # here your mail server would be talked to
    return f"{len(text)} characters to {to}"
