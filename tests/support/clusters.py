"""A cluster of servers whose slots can be moved while somebody uses them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.crc import key_slot

from brokers.redis.keys import Keys
from tests.support.servers import ServerProcess, free_port
from tests.support.waiting import wait_until

SLOTS = 16384


def ask(server: ServerProcess, *words: object) -> Any:
    """What a server answers."""
    with server.client() as client:
        return client.execute_command(*words)


class Cluster:
    """Some primaries that share the slots. A context manager.

    Args:
        program: the server program.
        count: how many nodes.
    """

    def __init__(self, program: Path, count: int = 3) -> None:
        self._program = program
        self._count = count
        self._moved: dict[int, ServerProcess] = {}
        self.nodes: list[ServerProcess] = []

    def __enter__(self) -> Cluster:
        try:
            for number in range(self._count):
                node = self._start()
                first, after = (edge * SLOTS // self._count for edge in (number, number + 1))
                ask(node, "CLUSTER", "ADDSLOTSRANGE", first, after - 1)
                self._add(node)
            self._wait_until_settled()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        for node in self.nodes:
            node.close()

    def _start(self) -> ServerProcess:
        for tries_left in (2, 1, 0):
            options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
            node = ServerProcess(self._program, *options, "--cluster-port", str(free_port()), tcp=True)
            try:
                return node.start()
            except AssertionError:  # somebody was quicker at one of the two ports
                node.close()
                if not tries_left:
                    raise
        raise AssertionError

    def _add(self, node: ServerProcess) -> None:
        self.nodes.append(node)
        if node is not self.nodes[0]:
            with self.nodes[0].client() as client:
                bus = client.config_get("cluster-port")["cluster-port"]
            ask(node, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, bus)

    def _wait_until_settled(self) -> None:
        def settled() -> bool:
            known = f"cluster_known_nodes:{len(self.nodes)}".encode()
            infos = [ask(node, "CLUSTER", "INFO") for node in self.nodes]
            return all(b"cluster_state:ok" in info and known in info for info in infos)

        wait_until(settled, timeout=60, message="the nodes of the cluster agree")

    def add_replica(self, of: ServerProcess) -> None:
        """One more node, which keeps a copy."""
        node = self._start()
        self._add(node)
        self._wait_until_settled()
        ask(node, "CLUSTER", "REPLICATE", self._id(of))

        def in_step() -> bool:
            return ask(node, "INFO", "replication").get("master_link_status") == "up"

        wait_until(in_step, timeout=60, message="the replica is in step")

    @staticmethod
    def _id(node: ServerProcess) -> str:
        name: bytes = ask(node, "CLUSTER", "MYID")
        return name.decode()

    @staticmethod
    def _slot(namespace: str) -> int:
        return key_slot(Keys(namespace).prefix.encode())

    def owner(self, namespace: str) -> ServerProcess:
        """The node that has the slot of a namespace, unless it has died."""
        slot = self._slot(namespace)
        return self._moved.get(slot) or self.nodes[slot * self._count // SLOTS]

    def begin_move(self, namespace: str, target: ServerProcess) -> None:
        """From now on, the owner sends whoever asks for a key that it does not have to the target."""
        slot, source = self._slot(namespace), self.owner(namespace)
        ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(source))
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(target))

    def finish_move(self, namespace: str, target: ServerProcess) -> None:
        """Move the keys, and make the target the owner."""
        slot, source = self._slot(namespace), self.owner(namespace)
        while keys := self.keys(namespace, source):
            ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *self.nodes):
            ask(node, "CLUSTER", "SETSLOT", slot, "NODE", self._id(target))
        self._moved[slot] = target

    def move(self, namespace: str, target: ServerProcess) -> None:
        """Give the slot of a namespace to another node, as ``redis-cli --cluster reshard`` does."""
        self.begin_move(namespace, target)
        self.finish_move(namespace, target)

    def keys(self, namespace: str, node: ServerProcess) -> Sequence[bytes]:
        """Keys of a namespace at a node, up to a hundred."""
        found: Sequence[bytes] = ask(node, "CLUSTER", "GETKEYSINSLOT", self._slot(namespace), 100)
        return found
