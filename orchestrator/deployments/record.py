"""A deployment as the store keeps it: a document of plain values, which is read whatever became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from brokers.facets.documents import Document
from brokers.stored import whole
from orchestrator.deployments.names import full_name, served_queue_of
from orchestrator.serializers.documents import pack_document, unpack_document

KIND: Final = "deployment"
_OUTSIDE: Final = frozenset(
    ("id", "paused", "version_number", "generation", "written_at_ms", "polled_at_ms", "trouble")
)


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """A deployment. Moments are unix seconds unless their names say milliseconds.

    Attributes:
        id: uuid5 of namespace, flow and name.
        name, flow_name: it is called ``flow_name/name``.
        entrypoint: where its flow is written; ``None`` for one in no file.
        parameters: of runs that say nothing else, as JSON has them.
        parameter_schema: JSON schema of the flow's parameters.
        enforce_parameter_schema: whether parameters are checked against it.
        frozen: names of parameters that no run may change.
        label: of its version, for people.
        isasync: its runs need an event loop.
        queue: of its runs.
        working_dir: where it was last deployed to a work pool, which is where its runs begin.
        concurrency_limit: fields of a ``ConcurrencyLimitConfig``.
        max_deliveries: how often a run may lose its process before it is Crashed; ``None``: as the settings say.
        paused: whether its schedules are left alone; people's wish.
        version_number: of the version that runs; newest_version: of the last that was made.
        polled_at_ms: when somebody last served or polled it, by the server's clock.
        trouble: why it cannot be read here.
    """

    id: str
    name: str
    flow_name: str
    entrypoint: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    parameter_schema: dict[str, Any] = field(default_factory=dict)
    enforce_parameter_schema: bool = True
    frozen: tuple[str, ...] = ()
    description: str | None = None
    tags: tuple[str, ...] = ()
    label: str | None = None
    isasync: bool = False
    image: str | None = None
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    queue: str = ""
    working_dir: str | None = None
    job_variables: dict[str, Any] = field(default_factory=dict)
    concurrency_limit: dict[str, Any] | None = None
    priority: str = "default"
    max_deliveries: int | None = None
    created_at: float = 0.0
    paused: bool = False
    version_number: int = 0
    newest_version: int = 0
    generation: int = 0
    written_at_ms: int = 0
    polled_at_ms: int = 0
    trouble: str = ""

    @property
    def full_name(self) -> str:
        """``flow/deployment``."""
        return full_name(self.flow_name, self.name)

    @property
    def run_queue(self) -> str:
        """The queue of its runs: its work pool's, else its own."""
        return self.queue or served_queue_of(self.id)

    def document(self) -> dict[str, bytes]:
        """The fields of its document; people's pause (``p``) and when it was polled (``st``) are beside them."""
        plain = {name: value for name, value in asdict(self).items() if name not in _OUTSIDE}
        return {"d": pack_document(KIND, self.id, plain), "v": str(self.version_number).encode()}


_FIELDS: Final = {each.name: each for each in fields(DeploymentRecord)}


def record_of(document: Document | None) -> DeploymentRecord | None:
    """The deployment of a document; ``None`` where there is none. Never raises.

    A damaged part is as if it had not been there; of one that cannot be read at all, ``trouble`` says why.
    """
    if document is None:
        return None
    plain, trouble = unpack_document(KIND, document.id, document.fields.get("d", b""))
    flow_name, _, name = document.name.partition("/")
    kept = {key: _as_field(key, value) for key, value in plain.items() if _fits(key, value)}
    return DeploymentRecord(
        document.id,
        **({"flow_name": flow_name or "?", "name": name or document.id} | kept),
        paused=document.fields.get("p") == b"1",
        version_number=whole(document.fields.get("v")),
        generation=document.generation,
        written_at_ms=document.written_at_ms,
        polled_at_ms=whole(document.fields.get("st")),
        trouble=trouble,
    )


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "int | None": (int, type(None)),
    "dict[str, Any]": (dict,),
    "dict[str, Any] | None": (dict, type(None)),
}


def _fits(key: object, value: object) -> bool:
    if not isinstance(key, str) or key not in _FIELDS or key in _OUTSIDE:
        return False
    wanted = str(_FIELDS[key].type)
    if wanted == "tuple[str, ...]":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, _TYPES[wanted])


def _as_field(key: str, value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
