"""Blocks as models: what a class of them is, apart from the store."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PrivateAttr, Secret, SecretBytes, SecretStr, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from orchestrator.blocks import registry
from orchestrator.blocks.errors import BlockNotSavedError
from orchestrator.blocks.schema import (
    add_markers,
    description_in,
    example_in,
    schema_of,
    usual_example,
)
from orchestrator.blocks.validation import without_values
from orchestrator.errors import SerializationError


class BlockModel(BaseModel, ABC):
    """The part of :class:`orchestrator.blocks.core.Block` that needs no store."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, json_schema_extra=add_markers)

    _block_type_name: ClassVar[str | None] = None
    _block_type_slug: ClassVar[str | None] = None
    _logo_url: ClassVar[Any] = None
    _documentation_url: ClassVar[Any] = None
    _description: ClassVar[str | None] = None
    _code_example: ClassVar[str | None] = None
    _block_schema_capabilities: ClassVar[Sequence[str] | None] = None
    _block_schema_version: ClassVar[str | None] = None
    _is_block: ClassVar[bool] = True
    _is_stored_form: ClassVar[bool] = False  # it stands for a class that is not here

    _block_document_id: UUID | None = PrivateAttr(None)
    _block_document_name: str | None = PrivateAttr(None)
    _is_anonymous: bool | None = PrivateAttr(None)
    _block_generation: int | None = PrivateAttr(None)  # that the store had when it was loaded or saved

    def __init__(self, **data: Any) -> None:
        trouble = None
        try:
            super().__init__(**data)
        except ValidationError as error:
            trouble = without_values(error, type(self), data)
        if trouble is not None:  # here, so that the original is not its context: logs show contexts
            raise trouble
        self.block_initialization()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        is_parametrised = cls.__pydantic_generic_metadata__["origin"] is not None
        if not (cls.is_interface() or is_parametrised or cls._is_stored_form):
            registry.register(cls.get_block_type_slug(), cls)

    def __str__(self) -> str:
        return repr(self)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        try:
            secret = set(schema_of(type(self))["secret_fields"])
        except SerializationError:
            secret = set()
        for name, value in super().__repr_args__():
            hidden = name in secret and value is not None and not isinstance(value, SecretStr | SecretBytes | Secret)
            yield name, "**********" if hidden else value

    def block_initialization(self) -> None:
        """Called at the end of the construction of a block, also of one that is loaded: for subclasses."""

    # -- what its class is ---------------------------------------------------------------------------------------------

    @classmethod
    def get_block_type_name(cls) -> str:
        """The name of its type, for people."""
        return cls._block_type_name or cls.__name__.partition("[")[0]

    @classmethod
    def get_block_type_slug(cls) -> str:
        """What its type is called in ``slug/name``."""
        return registry.slug_of(cls._block_type_slug or cls.get_block_type_name())

    @classmethod
    def get_block_capabilities(cls) -> frozenset[str]:
        """What its blocks can do: its own capabilities and those of the classes above."""
        found = (vars(base).get("_block_schema_capabilities") or () for base in cls.__mro__)
        return frozenset(one for some in found for one in some)

    @classmethod
    def get_block_schema_version(cls) -> str:
        """The version of its schema, for people."""
        return cls._block_schema_version or "non-versioned"

    @classmethod
    def get_description(cls) -> str | None:
        """Its description: ``_description``, else the beginning of the docstring."""
        return cls._description or description_in(vars(cls).get("__doc__"))

    @classmethod
    def get_code_example(cls) -> str:
        """How to use it: ``_code_example``, else the docstring's section ``Example``, else how one is loaded."""
        return cls._code_example or example_in(vars(cls).get("__doc__")) or usual_example(cls)

    @classmethod
    def is_interface(cls) -> bool:
        """Whether no blocks are made of this class, only of those below it."""
        return ABC in cls.__bases__

    @classmethod
    def model_json_schema(
        cls,
        by_alias: bool | None = True,
        ref_template: str = "#/definitions/{model}",
        schema_generator: type[GenerateJsonSchema] = GenerateJsonSchema,
        mode: Any = "validation",
        **more: Any,
    ) -> dict[str, Any]:
        """The JSON schema of the class, with what is shared below ``definitions``, as in Prefect."""
        schema = super().model_json_schema(by_alias, ref_template, schema_generator, mode, **more)
        if "$defs" in schema:
            schema["definitions"] = schema.pop("$defs")
        return schema

    def get_block_placeholder(self) -> str:
        """How templates name it: ``prefect.blocks.slug.name``. Raises BlockNotSavedError: it has no name yet."""
        if not self._block_document_name:
            raise BlockNotSavedError("this block has no name yet: save it")
        return f"prefect.blocks.{self.get_block_type_slug()}.{self._block_document_name}"
