"""Versions of deployments: what ran under which number, and where its code is."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from brokers.author import this_user
from brokers.base import Broker
from brokers.errors import BrokerConflict
from brokers.facets.documents import Document
from orchestrator import serializers
from orchestrator.errors import SerializationError, UntrustedPayload
from orchestrator.serializers.documents import check_signed, pack_document, unpack_document

KIND: Final = "deployment-version"
CODE_KIND: Final = "deployment-code"
MOST_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a deployment.

    Attributes:
        number: from 1 on.
        deployment_name: ``flow/deployment``.
        place: the module or the file (whole path) of its flow; ``None`` for one in no file.
        function: where the flow is in it.
        file: the module's file, as it was; root: the folder that it was imported from.
        digest: of the source files; empty where none could be read.
        has_snapshot: whether these are kept.
        label: for people.
        commit, repository: of git, where the files are in a clean work tree.
        image: that has the code.
        isasync: whether its flow is async.
        schema_digest: of the parameters' schema.
        who, at: made it, when (unix seconds).
    """

    number: int
    deployment_name: str = ""
    place: str | None = None
    function: str = ""
    file: str = ""
    root: str = ""
    digest: str = ""
    has_snapshot: bool = False
    label: str | None = None
    commit: str = ""
    repository: str = ""
    image: str | None = None
    isasync: bool = False
    schema_digest: str = ""
    who: str = ""
    at: float = 0.0

    @property
    def entrypoint(self) -> str:
        """As Prefect writes it."""
        return f"{self.place}:{self.function}" if self.place else self.function

    @property
    def what_counts(self) -> tuple[Any, ...]:
        """Two versions with the same are one."""
        return (self.place, self.function, self.digest, self.image, self.schema_digest, self.label)


_FIELDS: Final = {each.name: str(each.type) for each in fields(Version)}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
    "float": (int, float),
}


def version_id(deployment_id: str, number: int) -> str:
    """The id of a version's document."""
    return f"{deployment_id}:{number}"


def versions_of(broker: Broker, deployment_id: str, newest: int) -> list[Version]:
    """The versions that are kept, the newest first. Raises BrokerError."""
    numbers = range(newest, max(0, newest - MOST_KEPT), -1)
    documents = broker.documents.read(KIND, [version_id(deployment_id, number) for number in numbers])
    found = (_version_of(document, number) for document, number in zip(documents, numbers, strict=True))
    return [version for version in found if version is not None]


def version_of(broker: Broker, deployment_id: str, number: int, *, to_load: bool = False) -> Version | None:
    """One version; ``None`` if it is not kept.

    Args:
        broker, deployment_id, number: which.
        to_load: its code will be loaded: then it must be signed where the fleet has a key for that.

    Raises:
        BrokerError: the server does not answer. SerializationError: it may not be read here.
    """
    (document,) = broker.documents.read(KIND, [version_id(deployment_id, number)])
    if document is not None and to_load:
        check_signed(f"version {number} of the deployment {deployment_id}", document.fields.get("d", b""))
    if document is not None and (trouble := unpack_document(KIND, document.id, document.fields.get("d", b""))[1]):
        raise SerializationError(f"version {number} cannot be read: {trouble}")
    return _version_of(document, number)


def snapshot_of(broker: Broker, deployment_id: str, version: Version) -> bytes | None:
    """The archive of its source files; ``None`` if they are not kept. Raises BrokerError, SerializationError."""
    name = code_id(deployment_id, version.digest)
    (document,) = broker.documents.read(CODE_KIND, [name])
    if document is None or not document.fields.get("s"):
        return None
    check_signed(
        f"the code that is kept of version {version.number} of {version.deployment_name!r}", document.fields["s"]
    )
    return serializers.disclose(document.fields["s"], lambda: (CODE_KIND, name))


def add_version(
    broker: Broker, deployment_id: str, newest: int, version: Version, archive: bytes | None, who: str = ""
) -> int:
    """The number of a version that is like this one: the newest's if that is the same, else a new one.

    Several processes that add the same at once get the same number. Raises BrokerError.
    """
    before = version_of(broker, deployment_id, newest) if newest else None
    if before is not None and before.what_counts == version.what_counts and _may_load(broker, deployment_id, newest):
        return newest
    who, number = who or this_user(), newest + 1
    if archive is not None:  # first: a version that is there has its code
        _keep_code(broker, code_id(deployment_id, version.digest), archive, who)
    while True:
        made = replace(version, number=number, who=who, at=time.time(), has_snapshot=archive is not None)
        name = version_id(deployment_id, number)
        try:
            broker.documents.write(KIND, name, {"d": pack_document(KIND, name, asdict(made))}, only_new=True, who=who)
        except BrokerConflict:
            other = version_of(broker, deployment_id, number)
            if other is not None and other.what_counts == version.what_counts:
                return number
            number += 1
            continue
        _forget(broker, deployment_id, number - MOST_KEPT, who)
        return number


def forget_versions(broker: Broker, deployment_id: str, newest: int, who: str = "") -> None:
    """Forget all of them, with their code. Raises BrokerError."""
    kept = versions_of(broker, deployment_id, newest)
    broker.documents.delete(KIND, [version_id(deployment_id, version.number) for version in kept], who=who)
    broker.documents.delete(CODE_KIND, [code_id(deployment_id, digest) for digest in {v.digest for v in kept}], who=who)


def code_id(deployment_id: str, digest: str) -> str:
    """The id of the document that keeps source files."""
    return f"{deployment_id}:{digest[:32]}"


def _keep_code(broker: Broker, name: str, archive: bytes, who: str) -> None:
    (before,) = broker.documents.read(CODE_KIND, [name])
    is_kept = before is not None and (not serializers.signs() or serializers.is_signed(before.fields.get("s", b"")))
    if not is_kept:
        fields = {"s": serializers.enclose(archive, lambda: (CODE_KIND, name))}
        broker.documents.write(CODE_KIND, name, fields, who=who)


def _may_load(broker: Broker, deployment_id: str, number: int) -> bool:
    """Whether a version may be loaded: one from before the fleet had a key is made anew."""
    try:
        return version_of(broker, deployment_id, number, to_load=True) is not None
    except UntrustedPayload:
        return False


def _forget(broker: Broker, deployment_id: str, number: int, who: str) -> None:
    """Forget the version that is one too many, and its code unless a later one has the same."""
    old = version_of(broker, deployment_id, number) if number > 0 else None
    if old is None:
        return
    broker.documents.delete(KIND, [version_id(deployment_id, number)], who=who)
    if old.digest not in {version.digest for version in versions_of(broker, deployment_id, number + MOST_KEPT)}:
        broker.documents.delete(CODE_KIND, [code_id(deployment_id, old.digest)], who=who)


def _version_of(document: Document | None, number: int) -> Version | None:
    if document is None:
        return None
    plain, _ = unpack_document(KIND, document.id, document.fields.get("d", b""))
    kept: dict[str, Any] = {
        name: value
        for name, value in plain.items()
        if name in _FIELDS and name != "number" and isinstance(value, _TYPES[_FIELDS[name]])
    }
    return Version(number, **kept)
