"""What flow runs wait for and are sent: models that people and programs fill in. Users import ``orchestrator.input``.

As in Prefect 3 the keys of what is sent begin with the name of its class, and whoever receives asks for that beginning.
"""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import Callable, Iterable
from types import UnionType
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, PrivateAttr, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticSerializationError

from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.schemas.run_objects import FlowRunInput
from orchestrator.errors import ParameterTypeError
from orchestrator.pausing.receiving import GetInputHandler
from orchestrator.pausing.stored_inputs import SENDER_PREFIX, add_input, default_sender, ensure_flow_run_id

T = TypeVar("T")


class RunInputMetadata(BaseModel):
    """Where an input that was received comes from. Follows Prefect 3."""

    key: str
    sender: str | None
    receiver: UUID


class RunInput(BaseModel):
    """An input of a flow run; subclasses say which fields it has.

    >>> class Approval(RunInput):
    ...     approved: bool
    ...     note: str = ""
    >>> Approval.with_initial_data(note="looks good").model_fields["note"].default
    'looks good'

    Follows Prefect 3 (``prefect.input.RunInput``).
    """

    _description: ClassVar[str | None] = None
    _metadata: RunInputMetadata | None = PrivateAttr(default=None)

    @property
    def metadata(self) -> RunInputMetadata:
        """Its key, sender and receiver. Raises RuntimeError: it was not received."""
        if self._metadata is None:
            raise RuntimeError("this input was not received by receive() or receive_input(): it has no sender")
        return self._metadata

    @classmethod
    def with_initial_data(cls, description: str | None = None, **initial: Any) -> type[Self]:
        """This model with other defaults, and a text for people beside its form.

        Raises:
            TypeError: it has no such field.
        """
        unknown = [name for name in initial if name not in cls.model_fields]
        if unknown:
            raise TypeError(f"{cls.__name__} has no field {unknown[0]!r}; it has: {', '.join(cls.model_fields)}")
        fields: dict[str, Any] = {name: (cls.model_fields[name].annotation, value) for name, value in initial.items()}
        made = create_model(cls.__name__, __base__=cls, **fields)
        made._description = description if description is not None else cls._description
        return made

    @classmethod
    def receive(
        cls,
        timeout: float | None = 3600,
        poll_interval: float = 10,
        raise_timeout_error: bool = False,
        exclude_keys: Iterable[str] | None = None,
        key_prefix: str | None = None,
        flow_run_id: UUID | str | None = None,
    ) -> GetInputHandler[Self]:
        """The inputs of this class that a flow run is sent, each once; see :class:`GetInputHandler`.

        Raises:
            RuntimeError: no flow run was given, and there is none around this line.
        """
        prefix = key_prefix if key_prefix is not None else key_prefix_of(cls)
        return GetInputHandler(
            cls.load_from_flow_run_input, prefix, timeout, poll_interval, raise_timeout_error, exclude_keys, flow_run_id
        )

    @classmethod
    def load_from_flow_run_input(cls, flow_run_input: FlowRunInput) -> Self:
        """An input as it is stored, as an instance. Raises ParameterTypeError: it does not fit."""
        try:
            made = cls.model_validate(flow_run_input.decoded_value)
        except ValidationError as error:
            raise ParameterTypeError(f"the input {flow_run_input.key!r} does not fit: {_in_words(error)}") from None
        made._metadata = RunInputMetadata(
            key=flow_run_input.key, sender=flow_run_input.sender, receiver=flow_run_input.flow_run_id
        )
        return made

    @async_dispatch("arespond")
    def respond(self, run_input: Any, sender: str | None = None, key_prefix: str | None = None) -> None:
        """Send an input, or a plain value, to the flow run that has sent this one.

        Raises:
            RuntimeError: no flow run has sent this one. Others: as :func:`send_input`.
        """
        send(run_input, self._sender_id(), sender, key_prefix)

    async def arespond(self, run_input: Any, sender: str | None = None, key_prefix: str | None = None) -> None:
        """:meth:`respond` for coroutines."""
        await asyncio.to_thread(send, run_input, self._sender_id(), sender, key_prefix)

    @async_dispatch("asend_to")
    def send_to(self, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None) -> None:
        """Send it to a flow run; raises as :func:`send_input`."""
        send(self, flow_run_id, sender, key_prefix)

    async def asend_to(self, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None) -> None:
        """:meth:`send_to` for coroutines."""
        await asyncio.to_thread(send, self, flow_run_id, sender, key_prefix)

    def _sender_id(self) -> str:
        sender = (self._metadata.sender if self._metadata is not None else None) or ""
        if not sender.startswith(SENDER_PREFIX):
            raise RuntimeError("Cannot respond to an input that was not sent by a flow run.")
        return sender.removeprefix(SENDER_PREFIX)

    @classmethod
    def subclass_from_base_model_type(cls, model_cls: type[BaseModel]) -> type[RunInput]:
        """The class of inputs that have the fields of a model."""
        return _with_fields_of(model_cls)


class AutomaticRunInput(RunInput, Generic[T]):
    """A value of a type that is no model, as an input. Follows Prefect 3."""

    value: T

    @classmethod
    def subclass_from_type(cls, of: Any) -> type[AutomaticRunInput[Any]]:
        """The class of inputs whose value has this type. Raises TypeError: values of it cannot be JSON."""
        try:
            return _with_value(of)
        except TypeError:
            if _is_hashable(of):
                raise
            return _with_value.__wrapped__(of)


@functools.lru_cache(maxsize=200)
def _with_fields_of(model_cls: type[BaseModel]) -> type[RunInput]:
    return type(f"{model_cls.__name__}RunInput", (RunInput, model_cls), {"__module__": model_cls.__module__})


@functools.lru_cache(maxsize=200)
def _with_value(of: Any) -> type[AutomaticRunInput[Any]]:
    try:
        return create_model(f"{_type_name(of)}AutomaticRunInput", __base__=AutomaticRunInput, value=(of, ...))
    except PydanticUserError:
        raise TypeError(f"values of {of!r} cannot be inputs of flow runs: pydantic knows no JSON for them") from None


def _is_hashable(of: Any) -> bool:
    try:
        hash(of)
    except TypeError:
        return False
    return True


def _type_name(of: Any) -> str:
    """The name that values of this type are sent under; empty for what has several: a union, ``Any``, ...

    >>> _type_name(list[int]), _type_name(int | None), _type_name(Any)
    ('list', '', '')
    """
    if get_origin(of) is Annotated:
        return _type_name(get_args(of)[0])
    plain = get_origin(of) or of
    has_name = isinstance(plain, type) and plain not in (object, Any, UnionType)
    return plain.__name__.lower() if has_name else ""


def key_prefix_of(of: type[RunInput]) -> str:
    """How the keys begin of inputs of a class.

    >>> key_prefix_of(RunInput)
    'runinput-auto'
    """
    return f"{of.__name__.lower()}-auto"


def run_input_subclass_from_type(of: Any) -> type[RunInput]:
    """The class of inputs for a type: itself, or one with the fields of a model, or with a value.

    Raises:
        TypeError: values of it cannot be JSON.

    >>> run_input_subclass_from_type(str).__name__
    'strAutomaticRunInput'
    """
    if isinstance(of, type) and get_origin(of) is None:
        if issubclass(of, RunInput):
            return of
        if issubclass(of, BaseModel):
            return RunInput.subclass_from_base_model_type(of)
    return AutomaticRunInput.subclass_from_type(of)


def keys_of(of: Any) -> str | Callable[[str], bool]:
    """The beginning of the keys under which values of a type are sent; for one without a name whether a key is any's.

    >>> keys_of(str), keys_of(int | str)("strautomaticruninput-auto-1")
    ('strautomaticruninput-auto', True)
    """
    prefix = key_prefix_of(run_input_subclass_from_type(of))
    anything = key_prefix_of(AutomaticRunInput)
    return (lambda key: anything in key) if prefix == anything else prefix


def send(run_input: Any, flow_run_id: UUID | str, sender: str | None, key_prefix: str | None) -> None:
    """See :func:`orchestrator.input.send_input`."""
    flow_run = ensure_flow_run_id(flow_run_id)
    try:
        fields, made = _fields_and_class(run_input)
    except PydanticSerializationError as error:
        raise TypeError(f"{type(run_input).__name__} cannot be sent: an input of a flow run is JSON: {error}") from None
    key = f"{key_prefix if key_prefix is not None else key_prefix_of(made)}-{uuid.uuid4()}"
    add_input(flow_run, key, fields, sender if sender is not None else default_sender())


def _fields_and_class(run_input: Any) -> tuple[dict[str, Any], type[RunInput]]:
    made = run_input_subclass_from_type(type(run_input))
    if isinstance(run_input, BaseModel):
        return run_input.model_dump(mode="json"), made
    return made.model_construct(value=run_input).model_dump(mode="json", warnings="none"), made


class Wanted:
    """A type that somebody waits for: a model, or any other type under the name ``value``, as in Prefect.

    >>> Wanted(int).schema["properties"]["value"]["type"], Wanted(int).read({"value": "3"})
    ('integer', 3)
    """

    def __init__(self, of: Any) -> None:
        self._is_model = isinstance(of, type) and issubclass(of, BaseModel)
        self._of = of
        self.description: str | None = getattr(of, "_description", None) if self._is_model else None

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of its fields."""
        inner = TypeAdapter(self._of).json_schema(ref_template="#/definitions/{model}")
        definitions = inner.pop("$defs", None)
        schema: dict[str, Any] = inner
        if not self._is_model:
            schema = {"type": "object", "properties": {"value": inner}, "required": ["value"], "title": "Input"}
        return schema | ({"definitions": definitions} if definitions else {})

    def read(self, given: Any) -> Any:
        """The value of what somebody gave. Raises pydantic's ValidationError, which has no values: it does not fit.

        What JSON says of it was checked before; this is left to the model's own validators.
        """
        try:
            if self._is_model:
                return self._of.model_validate(given or {})
            return TypeAdapter(self._of).validate_python((given or {}).get("value"))
        except ValidationError as error:
            raise _without_values(error) from None


def _without_values(error: ValidationError) -> ValidationError:
    """The same error without the values: there may be secrets among them."""
    parts = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [
        InitErrorDetails(type=PydanticCustomError(part["type"], part["msg"]), loc=part["loc"], input=None)
        for part in parts
    ]
    return ValidationError.from_exception_data(error.title, lines, hide_input=True)


def _in_words(error: ValidationError) -> str:
    """Where and why, without the values: there may be secrets among them."""
    parts = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, part['loc'])) or 'it'}: {part['msg']}" for part in parts)
