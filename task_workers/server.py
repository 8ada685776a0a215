"""Runs the dashboard's application with uvicorn."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings

if TYPE_CHECKING:
    import uvicorn


def check_safe(host: str, token: str | None, password: str | None, allow_open: bool, settings: Settings) -> None:
    """Refuse to listen where others can come without authentication.

    Raises:
        ConfigurationError: the address is not one of this machine's own, and there is neither token nor password.
    """
    from orchestrator.server.security import is_loopback

    secrets = (token, password, settings.server_token, settings.server_password)
    if allow_open or any(secrets) or is_loopback(host):
        return
    raise ConfigurationError(
        f"--host {host} lets other machines in, who could cancel and delete runs: set ORCHESTRATOR_SERVER_TOKEN or "
        "ORCHESTRATOR_SERVER_PASSWORD, add a user (orchestrator user add), or say --allow-open if what is in front of "
        "it asks who they are"
    )


def serve(
    app: Any,
    host: str,
    port: int,
    log_level: str,
    *,
    say: Callable[[str], None],
    root_path: str = "",
    proxies: Sequence[str] = (),
) -> None:
    """Listen, say where, and serve until SIGTERM or Ctrl-C.

    Raises:
        ConfigurationError: the address is taken, or is none.
    """
    import uvicorn

    config = configured(app, log_level, proxies)
    listener = _listener(host, port)
    address = f"[{host}]" if ":" in host else host
    came: list[int] = []  # uvicorn also gives the signal that ended it back to whoever had it before

    class Server(uvicorn.Server):
        """Ends by a signal, too, that came before it took signals, as from whoever has read the line above."""

        async def main_loop(self) -> None:
            self.should_exit = self.should_exit or bool(came)
            await super().main_loop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: came.append(number))
    say(f"the dashboard is at http://{address}:{listener.getsockname()[1]}{root_path}/  (Ctrl-C ends it)")
    with listener:
        Server(config).run([listener])


def configured(app: Any, log_level: str, proxies: Sequence[str] = ()) -> uvicorn.Config:
    """How uvicorn serves it.

    Args:
        app: what it serves.
        log_level: of uvicorn.
        proxies: addresses or networks whose X-Forwarded-For and X-Forwarded-Proto are believed. Nobody's otherwise: a
            program on this machine would guess at passwords from ever other addresses.
    """
    import uvicorn

    from task_workers.connections import BoundedConnection

    return uvicorn.Config(
        app,
        log_level=log_level,
        access_log=log_level in ("debug", "info"),
        server_header=False,
        http=BoundedConnection,
        ws="none",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
    )


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Choose another --port (0: any free one)"
        ) from None
    listener.listen(128)
    return listener
