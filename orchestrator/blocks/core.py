"""``Block``: what users subclass for settings of the outside world that are kept under a name."""

from __future__ import annotations

import asyncio
from abc import ABC
from collections.abc import Mapping
from typing import Any, Self, TypeGuard
from uuid import UUID

from orchestrator.blocks import registry
from orchestrator.blocks.editing import register_class, save_block
from orchestrator.blocks.errors import UnknownBlockType
from orchestrator.blocks.model import BlockModel
from orchestrator.blocks.schema import blocks_in
from orchestrator.client.async_dispatch import async_dispatch

__all__ = ["Block"]


class Block(BlockModel, ABC):
    """Settings of something outside, and what can be done with it: a pydantic model that is saved under a name.

    Fields of the types ``SecretStr``, ``SecretBytes``, ``Secret`` and ``SecretDict`` are encrypted in the store,
    wherever they are: in models, lists, dicts and blocks inside the block. Follows Prefect 3 (``prefect.blocks.core``).

    Raises:
        ValidationError: fields do not fit. Unlike pydantic's it shows no values: one of them may be a secret.

    >>> class ShopDatabase(Block):
    ...     host: str
    ...     port: int = 5432
    >>> ShopDatabase(host="db.shop.example")
    ShopDatabase(host='db.shop.example', port=5432)
    >>> ShopDatabase.get_block_type_slug()
    'shopdatabase'
    """

    @staticmethod
    def is_block_class(block: Any) -> TypeGuard[type[Block]]:
        """Whether something is a class of blocks."""
        return isinstance(block, type) and issubclass(block, Block)

    @staticmethod
    def annotation_refers_to_block_class(annotation: Any) -> bool:
        """Whether an annotation has a class of blocks in it."""
        return bool(blocks_in(annotation))

    @classmethod
    def get_block_class_from_key(cls, key: str) -> type[Block]:
        """The class of a type by its slug.

        Raises:
            UnknownBlockType: nothing that was imported here defines it.
        """
        found = registry.class_of(key)
        if found is None:
            raise UnknownBlockType(f"no block class for {key!r} is known here: import the module that defines it")
        return found

    # -- in the store --------------------------------------------------------------------------------------------------

    @async_dispatch("asave")
    def save(self, name: str | None = None, overwrite: bool = False) -> UUID:
        """Write the block into the store.

        Args:
            name: lowercase letters, digits and dashes; ``None``: the one under which it was loaded or saved.
            overwrite: replace one that is there. A block that was loaded replaces only what it was loaded from: when
                somebody else has changed that meanwhile, nothing is written.

        Returns:
            its id. On an event loop, an awaitable of it.

        Raises:
            BlockAlreadyExists: there is one of that name (also a ValueError).
            BrokerConflict: somebody else has changed it since it was loaded.
            ConfigurationError: it has secrets, and there is no key to encrypt them with.
            SerializationError: a value cannot be stored. ValueError: not a name. BrokerError: no answer.
        """
        return UUID(save_block(self, name, overwrite))

    async def asave(self, name: str | None = None, overwrite: bool = False) -> UUID:
        """As :meth:`save`."""
        return UUID(await asyncio.to_thread(save_block, self, name, overwrite))

    @classmethod
    @async_dispatch("aload")
    def load(cls, name: str, validate: bool = True) -> Self:
        """Read a block.

        Args:
            name: of a block of this class; for ``Block`` itself ``slug/name``, or a name that one type alone has.
            validate: ``False``: load also what does not fit the class, as it was saved before the class had a field:
                such fields are ``None``, with a warning.

        Returns:
            the block; where its class is not known here, one that has its fields and no methods. On an event loop, an
            awaitable of it.

        Raises:
            BlockNotFound: there is none (also a ValueError).
            BlockLoadError: its fields do not fit the class (also a RuntimeError); says which.
            EncryptionKeyMissing: a secret was encrypted with a key that is not here.
            BrokerError: the server does not answer.
        """
        from orchestrator.blocks.loading import load_block

        return load_block(cls, name, validate)

    @classmethod
    async def aload(cls, name: str, validate: bool = True) -> Self:
        """As :meth:`load`."""
        from orchestrator.blocks.loading import load_block

        return await asyncio.to_thread(load_block, cls, name, validate)

    @classmethod
    @async_dispatch("aload_from_ref")
    def load_from_ref(cls, ref: str | UUID | Mapping[str, Any], validate: bool = True) -> Self:
        """Read a block by its id.

        Args:
            ref: an id, ``{"block_document_id": id}`` or ``{"block_document_slug": "slug/name"}``.
            validate: as for :meth:`load`.

        Raises:
            ValueError: no reference. And as :meth:`load`.
        """
        from orchestrator.blocks.loading import load_by_reference

        return load_by_reference(cls, ref, validate)

    @classmethod
    async def aload_from_ref(cls, ref: str | UUID | Mapping[str, Any], validate: bool = True) -> Self:
        """As :meth:`load_from_ref`."""
        from orchestrator.blocks.loading import load_by_reference

        return await asyncio.to_thread(load_by_reference, cls, ref, validate)

    @classmethod
    @async_dispatch("adelete")
    def delete(cls, name: str) -> None:
        """Delete a block. Raises BlockNotFound: there is none; BrokerError."""
        from orchestrator.blocks.loading import delete_named

        delete_named(cls, name)

    @classmethod
    async def adelete(cls, name: str) -> None:
        """As :meth:`delete`."""
        from orchestrator.blocks.loading import delete_named

        await asyncio.to_thread(delete_named, cls, name)

    @classmethod
    @async_dispatch("aregister_type_and_schema")
    def register_type_and_schema(cls) -> None:
        """Write the type into the store, so that people find it in lists and forms; ``save`` does it as well.

        Raises:
            InvalidBlockRegistration: it is no class of which blocks are made. BrokerError: the server does not answer.
        """
        register_class(cls)

    @classmethod
    async def aregister_type_and_schema(cls) -> None:
        """As :meth:`register_type_and_schema`."""
        await asyncio.to_thread(register_class, cls)
