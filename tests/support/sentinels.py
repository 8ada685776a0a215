"""A sentinel that watches over a primary."""

from __future__ import annotations

from pathlib import Path

from tests.support.servers import PASSWORD, ServerProcess
from tests.support.waiting import wait_until

SERVICE = "orders"
SENTINELS_PASSWORD = "pass-of-the-sentinels"


class Sentinel(ServerProcess):
    """Watches the service ``orders``; quick to believe that its primary is down.

    Args:
        program: the server program, which is the sentinel's as well.
        primary_port: where the primary is, on localhost.
        lines: of its configuration, besides.
    """

    def __init__(self, program: Path, primary_port: int, *lines: str) -> None:
        super().__init__(program, tcp=True)
        settings = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"unixsocket {self.socket}",
            f"dir {self.folder}",
            f"requirepass {SENTINELS_PASSWORD}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 1",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            f"sentinel down-after-milliseconds {SERVICE} 1000",
            f"sentinel failover-timeout {SERVICE} 3000",
            *lines,
        ]
        file = self.folder / "sentinel.conf"  # the sentinel writes down in it what it learns
        file.write_text("\n".join(settings) + "\n")
        self._command = [str(program), str(file), "--sentinel"]

    def wait_for_replica(self) -> None:
        """Until it knows the replica, and finds it fit to be promoted."""

        def fit() -> bool:
            with self.client(password=SENTINELS_PASSWORD) as client:
                replicas = client.sentinel_slaves(SERVICE)
            return any(replica["flags"] == "slave" for replica in replicas)

        wait_until(fit, timeout=60, message="the sentinel knows the replica")


def replica_of(program: Path, primary: ServerProcess, *options: str) -> ServerProcess:
    """A copy of a server, in step with it."""
    copy = ServerProcess(program, "--replicaof", "127.0.0.1", str(primary.port), *options, tcp=True).start()
    wait_until(lambda: _link(copy) == "up", timeout=60, message="the replica is in step")
    return copy


def _link(copy: ServerProcess) -> object:
    with copy.client(password=PASSWORD) as client:
        return client.info("replication").get("master_link_status")
