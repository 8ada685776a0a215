"""The server itself."""

from __future__ import annotations

from orchestrator.api_client.api import Api, Reply, Request


async def api_healthcheck(api: Api, /) -> Exception | None:
    """``None`` if the API answers, else why it does not."""
    try:
        await api.ask(Request("GET", "/ready"))
    except Exception as error:  # that is the answer
        return error
    return None


async def hello(api: Api, /) -> Reply:
    """A greeting, to see whether anybody is there. Raises ApiUnavailable, ApiError."""
    return await api.ask(Request("GET", "/hello"))


async def api_version(api: Api, /) -> str:
    """The version of Prefect's API that this one follows."""
    return str(await api.value(Request("GET", "/admin/version")))
