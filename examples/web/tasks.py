"""What the web application leaves to the workers: `orchestrator worker -A examples/web/tasks.py`."""

import asyncio
import time

from orchestrator import task


@task
def make_report(customer: str, pages: int, seconds_per_page: float = 0.0) -> str:
    if pages > 1000:
        raise ValueError(f"{pages} pages are too many")
    time.sleep(pages * seconds_per_page)
    return f"{pages} pages for {customer}"


@task(retries=3, retry_delay_seconds=[1, 5, 30])
async def send_mail(to: str, text: str) -> str:
    await asyncio.sleep(0)  # here your mail server would be talked to
    return f"{len(text)} characters to {to}"
