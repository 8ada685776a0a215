"""A block whose class is not known here: it has the fields that were stored, and no methods."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from orchestrator.blocks.core import Block
from orchestrator.blocks.errors import UnknownBlockType


class StoredBlock(Block):
    """The fields of a block of another program."""

    _is_stored_form: ClassVar[bool] = True
    _module: ClassVar[str] = ""

    @classmethod
    def _unknown(cls, what: str) -> UnknownBlockType:
        where = f", which is {cls._module}," if cls._module else ""
        return UnknownBlockType(
            f"{what}: the class of the block type {cls.get_block_type_slug()!r} is not known here; import the module "
            f"that defines it{where} before the block is loaded"
        )

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name.startswith("_"):
                    raise
                raise type(self)._unknown(f"{name!r} is not among the stored fields") from None

    async def asave(self, name: str | None = None, overwrite: bool = False) -> Any:
        """Raises UnknownBlockType."""
        raise self._unknown("it cannot be saved")

    def save(self, name: str | None = None, overwrite: bool = False) -> Any:
        """Raises UnknownBlockType."""
        raise self._unknown("it cannot be saved")


@functools.lru_cache(256)
def stored_form(slug: str, module: str) -> type[StoredBlock]:
    """What stands for the class of a type.

    Args:
        slug: of the type.
        module: that defines the class, as was noted when a block of it was saved; only for messages.
    """
    return type("StoredBlock", (StoredBlock,), {"_block_type_slug": slug, "_module": module, "__module__": __name__})
