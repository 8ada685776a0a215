"""What kinds of blocks can do, for code that takes any of a kind: a flow whose parameter is a ``WritableFileSystem``.

Follows Prefect 3 (``prefect.blocks.abstract``, ``prefect.filesystems``).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Self

from orchestrator.blocks.core import Block
from orchestrator.errors import NotificationError

__all__ = [
    "CredentialsBlock",
    "DatabaseBlock",
    "JobBlock",
    "JobRun",
    "NotificationBlock",
    "NotificationError",
    "ObjectStorageBlock",
    "ReadableDeploymentStorage",
    "ReadableFileSystem",
    "SecretBlock",
    "WritableDeploymentStorage",
    "WritableFileSystem",
]


class CredentialsBlock(Block, ABC):
    """Who we are somewhere: makes a client that is logged in."""

    @abstractmethod
    def get_client(self, *args: Any, **kwargs: Any) -> Any:
        """A client with these credentials."""


class NotificationBlock(Block, ABC):
    """A block that sends messages. Subclasses define ``notify``, as a function or a coroutine function.

    Follows Prefect 3, with one difference: a message that is not taken is always an error, not only inside of
    ``with block.raise_on_failure()``. A program that may go on without it catches
    :class:`~orchestrator.errors.NotificationError`, or leaves the message to a hook or an automation.
    """

    _block_schema_capabilities: ClassVar[list[str] | None] = ["notify"]

    @abstractmethod
    def notify(self, body: str, subject: str | None = None) -> Any:
        """Send a message.

        Args:
            body: the text.
            subject: its heading, where the receiver knows headings.

        Returns:
            ``None``; on an event loop, an awaitable of it.

        Raises:
            NotificationError: it was not taken; the text says what was answered, and holds no secret.
        """

    async def anotify(self, body: str, subject: str | None = None) -> None:
        """As :meth:`notify`, whichever of both kinds a subclass defines."""
        if inspect.iscoroutinefunction(self.notify):
            await self.notify(body, subject)
        else:
            await asyncio.to_thread(self.notify, body, subject)

    @contextlib.contextmanager
    def raise_on_failure(self) -> Iterator[None]:
        """For programs of Prefect: within this block a message that is not taken is an error, as it is anywhere."""
        yield


class JobRun(ABC):
    """A job that was triggered somewhere else."""

    @abstractmethod
    def wait_for_completion(self) -> Any:
        """Return when it is over."""

    @abstractmethod
    def fetch_result(self) -> Any:
        """What it came to."""


class JobBlock(Block, ABC):
    """A job somewhere else that can be triggered."""

    @abstractmethod
    def trigger(self) -> JobRun:
        """Start it."""


class DatabaseBlock(Block, ABC):
    """A database that statements are sent to."""

    @abstractmethod
    def fetch_one(self, operation: str, parameters: Any = None, **options: Any) -> Any:
        """The first row of a statement."""

    @abstractmethod
    def fetch_many(self, operation: str, parameters: Any = None, size: int | None = None, **options: Any) -> Any:
        """Some rows of a statement."""

    @abstractmethod
    def fetch_all(self, operation: str, parameters: Any = None, **options: Any) -> Any:
        """All rows of a statement."""

    @abstractmethod
    def execute(self, operation: str, parameters: Any = None, **options: Any) -> None:
        """Run a statement that has no rows."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        return None


class ObjectStorageBlock(Block, ABC):
    """A store of objects, as S3 is."""

    @abstractmethod
    def download_object_to_path(self, from_path: str, to_path: str, **options: Any) -> Any:
        """Copy an object into a file."""

    @abstractmethod
    def upload_from_path(self, from_path: str, to_path: str, **options: Any) -> Any:
        """Copy a file into an object."""


class SecretBlock(Block, ABC):
    """A secret that is kept somewhere else, as in a vault."""

    @abstractmethod
    def read_secret(self) -> bytes:
        """Its value."""

    @abstractmethod
    def write_secret(self, secret_data: bytes) -> str:
        """Replace its value; returns where it is."""


class ReadableFileSystem(Block, ABC):
    """A place that files are read from."""

    _block_schema_capabilities = ("read-path",)

    @abstractmethod
    def read_path(self, path: str) -> Any:
        """The contents of a file, as bytes."""


class WritableFileSystem(Block, ABC):
    """A place that files are read from and written to."""

    _block_schema_capabilities = ("read-path", "write-path")

    @abstractmethod
    def read_path(self, path: str) -> Any:
        """The contents of a file, as bytes."""

    @abstractmethod
    def write_path(self, path: str, content: bytes) -> Any:
        """Write a file; returns where it is."""


class ReadableDeploymentStorage(Block, ABC):
    """A place that folders are copied from."""

    _block_schema_capabilities = ("get-directory",)

    @abstractmethod
    def get_directory(self, from_path: str | None = None, local_path: str | None = None) -> Any:
        """Copy a folder from there."""


class WritableDeploymentStorage(Block, ABC):
    """A place that folders are copied from and to."""

    _block_schema_capabilities = ("get-directory", "put-directory")

    @abstractmethod
    def get_directory(self, from_path: str | None = None, local_path: str | None = None) -> Any:
        """Copy a folder from there."""

    @abstractmethod
    def put_directory(
        self, local_path: str | None = None, to_path: str | None = None, ignore_file: str | None = None
    ) -> Any:
        """Copy a folder to there."""
