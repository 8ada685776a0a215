"""One flow calls both: the task that Celery keeps, through a handle, and the one that was moved."""

from shop.app import app
from shop.tasks import CardRefused, write_receipt

from orchestrator import flow
from orchestrator.contrib.celery import celery_task

charge = celery_task("shop.tasks.charge", app)


@flow
def sell(orders: dict[str, int]) -> list[str]:
    payments = charge.map(list(orders), list(orders.values()))  # Celery messages, our futures
    receipts = write_receipt.map(payments)  # each starts by itself when Celery has charged
    lines = []
    for customer, payment, receipt in zip(orders, payments, receipts, strict=True):
        try:
            payment.result(timeout=60)
            lines.append(receipt.result(timeout=60))
        except CardRefused as error:
            lines.append(f"{customer}: {error} ({receipt.state.name})")
    return lines


if __name__ == "__main__":
    print("\n".join(sell({"ann": 500, "bob": 250_000, "eve": 700})))
