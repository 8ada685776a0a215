"""A flow with a parameter of each kind that a form has."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Any

from orchestrator import flow


class Size(Enum):
    """Of a box."""

    SMALL = "small"
    LARGE = "large"


@flow
def order(
    city: str,
    days: int = 3,
    share: float | None = None,
    is_express: bool = False,
    size: Size = Size.SMALL,
    on: date | None = None,
    lines: list[int] = [1, 2],  # noqa: B006  # it is not changed
    api_token: str = "tok-of-the-flow",
) -> dict[str, Any]:
    """Order something.

    Args:
        city: where it goes, <b>not</b> a street.
    """
    return {"city": city, "days": days, "share": share, "is_express": is_express, "lines": lines}
