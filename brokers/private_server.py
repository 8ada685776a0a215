"""The door to the private server: one Valkey per user and machine, for whoever has no server of their own."""

from brokers.embedded.home import default_home, has_encryption_key, private_encryption_key, secret_key
from brokers.embedded.server import EmbeddedServer, start_lasting, stop_lasting
from brokers.embedded.status import ServerStatus, status

__all__ = [
    "EmbeddedServer",
    "ServerStatus",
    "default_home",
    "has_encryption_key",
    "private_encryption_key",
    "secret_key",
    "start_lasting",
    "status",
    "stop_lasting",
]
