"""Which version of a deployment a run gets, and whether its code is still there: asked before a run is made."""

from __future__ import annotations

from pathlib import Path

from brokers.base import Broker
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.versions import Version, snapshot_of, version_of, versions_of
from orchestrator.errors import MissingFlowError, ObjectNotFound


def version_for_run(broker: Broker, record: DeploymentRecord, wanted: int | str | None) -> Version | None:
    """The version by its number (also as text) or label; ``None``: the current one, which is not looked at.

    Raises:
        ObjectNotFound: there is no such version. MissingFlowError: its code is gone. BrokerError.
    """
    if wanted is None:
        return None
    version = _named(broker, record, wanted)
    if version.number != record.version_number and not has_code(broker, record.id, version):
        raise MissingFlowError(
            f"the code of version {version.number} of {record.full_name!r} is gone: {version.file or version.function} "
            "is not as it was then, and was too large to be kept; no run was made"
        )
    return version


def has_code(broker: Broker, deployment_id: str, version: Version) -> bool:
    """Whether a version can be run: it has an image, its files are kept, or are as they were. Raises BrokerError."""
    if version.image is not None:
        return True
    if version.place is None or (not version.digest and not Path(version.file).is_file()):
        return False
    if version.has_snapshot and snapshot_of(broker, deployment_id, version) is not None:
        return True
    from orchestrator.deployments.loading import digest_of

    return bool(version.digest) and digest_of(version.file) == version.digest


def _named(broker: Broker, record: DeploymentRecord, wanted: int | str) -> Version:
    text = str(wanted)
    if text.isdecimal():
        version = version_of(broker, record.id, int(text)) if int(text) <= record.newest_version else None
        if version is not None:
            return version
    kept = versions_of(broker, record.id, record.newest_version)
    for version in kept:
        if version.label == text:
            return version
    known = ", ".join(f"{v.number} ({v.label})" if v.label else str(v.number) for v in kept[:10]) or "none"
    raise ObjectNotFound(f"deployment {record.full_name!r} has no version {text!r}; it has: {known}")
