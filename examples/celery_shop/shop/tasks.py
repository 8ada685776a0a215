"""Two tasks: one stays with Celery, one has been moved. Both keep their names, their module and their worker."""

from orchestrator import task
from shop.app import app


class CardRefused(Exception):
    """The customer's bank said no."""


@app.task
def charge(customer: str, cents: int) -> str:
    """Celery's: not a line has been changed."""
    if cents > 100_000:
        raise CardRefused(f"{customer} cannot pay {cents}")
    return f"{customer} paid {cents}"


@task(retries=2, retry_delay_seconds=[1, 10])
def write_receipt(payment: str) -> str:
    """Ours: it was ``@app.task`` before."""
    return f"Thank you! {payment} cents."
