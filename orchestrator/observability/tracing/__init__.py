"""Spans for OpenTelemetry: one where calls are sent, one around each run, joined by the call itself.

Only ``opentelemetry-api`` is spoken, and only once the user's program has imported it and set a provider up; what
collects the spans is the user's. Without it a call costs a look into ``sys.modules`` more. Names and attributes follow
OpenTelemetry's conventions for messaging systems.

A run of ``.submit`` or ``.map`` is a child of the span that sent it, since somebody waits for it there. A run of
``.delay`` begins a trace of its own, with a link to the sender's.
"""

from __future__ import annotations

from typing import Final

API: Final = "opentelemetry.trace"
"""The module that is in ``sys.modules`` when somebody in this process wants spans."""

SYSTEM: Final = "orchestrator"
"""``messaging.system`` of our spans."""
