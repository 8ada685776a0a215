"""A private RabbitMQ node for tests: loopback only, a folder of its own, ports that nobody uses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from tests.support.servers import dying_with_us, free_port
from tests.support.waiting import wait_until

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the script in /usr/sbin becomes another user first
START_SECONDS = 120.0


def is_installed() -> bool:
    """Whether this machine has RabbitMQ (Debian's package ``rabbitmq-server``)."""
    return PROGRAM.exists()


class RabbitMQ:
    """One node. ``stop`` and ``start`` keep what its queues hold."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="orc-mq-"))
        self.port, dist, self._epmd_port = free_port(), free_port(), free_port()
        (self.folder / "plugins").write_text("[].\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"orchestrator-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._log: IO[bytes] = (self.folder / "output").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def url(self) -> str:
        """As kombu knows it."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def output(self) -> str:
        """What it has written."""
        return (self.folder / "output").read_text(errors="replace")

    def start(self) -> RabbitMQ:
        """Start it, and wait until it takes connections."""
        self._starts += 1
        self._process = subprocess.Popen(
            dying_with_us([str(PROGRAM)]),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        wait_until(self._is_up, START_SECONDS, message=f"RabbitMQ takes connections: {self.folder}/output")
        return self

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.output
        return self.output.count("Starting broker... completed") >= self._starts

    def stop(self) -> None:
        """SIGTERM: it keeps its queues and ends."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait(60)
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nobody."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it, and its port mapper, and remove its folder."""
        self.kill()
        _stop_port_mapper(self._epmd_port)
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _stop_port_mapper(port: int) -> None:
    """Erlang's, which the node starts beside itself; found by its own port, which nobody else uses."""
    for found in Path("/proc").glob("[0-9]*"):
        try:
            command = (found / "cmdline").read_bytes()
            environment = (found / "environ").read_bytes()
        except OSError:
            continue
        if b"epmd" in command.split(b"\0")[0] and f"ERL_EPMD_PORT={port}".encode() in environment.split(b"\0"):
            os.kill(int(found.name), signal.SIGKILL)
