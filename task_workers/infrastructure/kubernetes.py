"""Jobs, with ``kubectl`` on PATH, which knows its own contexts and credentials; in a cluster, those of its pod."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.work_pools.kubernetes_job import label_selector, manifest_of, namespace_of
from task_workers.infrastructure.base import GONE, Condition, Found, Handle, InfrastructureError, Phase, Wanted
from task_workers.infrastructure.programs import Program, ProgramOutput

DELETE_SECONDS: Final = 60.0  # beside the grace that the pod gets
_NOT_FOUND: Final = "notfound"


class Kubernetes:
    """See :class:`task_workers.infrastructure.base.Infrastructure`."""

    noun = "job"

    def __init__(self) -> None:
        self._running: set[Handle] = set()  # of these the pod is not looked at any more, before they have ended
        self._kubectl = Program("kubectl", "install it where the worker runs")

    def check(self) -> None:
        self._kubectl.path()

    def start(self, wanted: Wanted) -> Handle:
        manifest = manifest_of(wanted.job, wanted.name, wanted.labels, wanted.env)
        namespace = namespace_of(manifest)
        words = ("create", "--namespace", namespace, "--filename", "-", "--output", "json")
        made = self._json(*words, text=json.dumps(manifest))
        return Handle(self.noun, str(_table(made.get("metadata")).get("name")), namespace)

    def look(self, handle: Handle) -> Condition:
        try:
            job = self._json("get", "job", handle.name, "--namespace", handle.namespace, "--output", "json")
        except InfrastructureError as error:
            if _is_not_found(error):
                self._running.discard(handle)
                return GONE
            raise
        status = _table(job.get("status"))
        ends = {
            str(one.get("type")): str(one.get("reason") or "")
            for one in map(_table, status.get("conditions") or [])
            if one.get("status") == "True"
        }
        over = "Complete" in ends or "Failed" in ends
        if handle in self._running and not over:
            return Condition(Phase.RUNNING)
        pod = self._pod(handle)
        if over:
            self._running.discard(handle)
            code, reason = _end_of(pod)
            if code is None and "Complete" in ends:
                code = 0
            return Condition(Phase.ENDED, code, reason or ends.get("Failed", ""))
        phase = _table(pod.get("status")).get("phase")
        if phase in ("Running", "Succeeded", "Failed"):  # the Job knows of the latter in a moment
            self._running.add(handle)
            return Condition(Phase.RUNNING)
        return Condition(Phase.STARTING, None, _reason_of(pod))

    def follow(self, handle: Handle, *, from_now: bool = False) -> ProgramOutput:
        more = ["--tail=0"] if from_now else []
        return self._kubectl.follow("logs", "--follow", *more, f"job/{handle.name}", "--namespace", handle.namespace)

    def end(self, handle: Handle, grace_seconds: float) -> None:
        grace = max(1, round(grace_seconds))
        self._delete(handle, grace, grace + DELETE_SECONDS)

    def remove(self, handle: Handle) -> None:
        self._delete(handle, 1, DELETE_SECONDS)

    def find(self, labels: Mapping[str, str], namespaces: Sequence[str]) -> list[Found]:
        found: list[Found] = []
        for namespace in dict.fromkeys(namespaces):
            words = ("get", "jobs", "--namespace", namespace, "--selector", label_selector(labels), "--output", "json")
            for item in map(_table, self._json(*words).get("items") or []):
                metadata = _table(item.get("metadata"))
                handle = Handle(self.noun, str(metadata.get("name")), namespace)
                found.append(Found(handle, _table(metadata.get("labels"))))
        return found

    def _delete(self, handle: Handle, grace: int, seconds: float) -> None:
        """Its pod goes first, and is waited for: none of its code runs after that."""
        self._kubectl.run(
            "delete",
            "job",
            handle.name,
            "--namespace",
            handle.namespace,
            "--cascade=foreground",
            "--grace-period",
            str(grace),
            "--ignore-not-found",
            "--wait=true",
            seconds=seconds,
        )

    def _pod(self, handle: Handle) -> dict[str, Any]:
        """Its newest pod; nothing while there is none."""
        words = ("get", "pods", "--namespace", handle.namespace, "--selector", f"job-name={handle.name}")
        items = self._json(*words, "--output", "json").get("items")
        return _table(items[-1]) if isinstance(items, list) and items else {}

    def _json(self, *words: str, text: str | None = None) -> dict[str, Any]:
        written = self._kubectl.run(*words, text=text)
        try:
            return _table(json.loads(written))
        except ValueError as error:
            raise InfrastructureError(f"kubectl {words[0]} wrote what is no JSON: {error}") from None


def _containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = _table(pod.get("status")).get("containerStatuses")
    return [_table(_table(one).get("state")) for one in found] if isinstance(found, list) else []


def _end_of(pod: Mapping[str, Any]) -> tuple[int | None, str]:
    for state in _containers(pod):
        ended = _table(state.get("terminated"))
        code, reason = ended.get("exitCode"), str(ended.get("reason") or "")
        if isinstance(code, int):
            return code, "" if reason in ("Completed", "Error") else reason
    return None, str(_table(pod.get("status")).get("reason") or "")


def _reason_of(pod: Mapping[str, Any]) -> str:
    """Why it has not begun: of its containers, else of the pod itself."""
    for state in _containers(pod):
        waiting = _table(state.get("waiting"))
        if waiting.get("reason"):
            return ": ".join(str(waiting[part]) for part in ("reason", "message") if waiting.get(part))
    conditions = map(_table, _table(pod.get("status")).get("conditions") or [])
    return next((str(one["message"]) for one in conditions if one.get("message")), "")


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_not_found(error: InfrastructureError) -> bool:
    text = str(error).lower()
    return _NOT_FOUND in text or "not found" in text
