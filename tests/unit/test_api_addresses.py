"""Addresses of the API: what an error shows of them."""

from __future__ import annotations

import pytest

from orchestrator.api_client.client import SyncOrchestrationClient
from orchestrator.client.api_errors import ApiUnavailable


def test_a_password_in_the_address_is_not_shown() -> None:
    with (
        pytest.raises(ApiUnavailable, match=r"http://u:\*\*\*@127\.0\.0\.1:1/api does not answer"),
        SyncOrchestrationClient("http://u:pa55word@127.0.0.1:1/api") as client,
    ):
        client.read_flows()
