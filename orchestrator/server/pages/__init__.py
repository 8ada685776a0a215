"""The screens: HTML made on the server from what ``Queries`` tells; forms for what people do.

One file per screen or two, ``rendering.py`` for what all of them need, ``wording.py`` for how values are said, and
``charts.py``, ``timeline.py`` and ``graph.py`` for the pictures, which are SVG with a text beside them.
"""

from __future__ import annotations

from typing import Final

from orchestrator.server.pages import about, flows, overview, runs, steering

routes: Final = [
    *overview.ROUTES,
    *runs.ROUTES,
    *flows.ROUTES,
    *steering.ROUTES,
    *about.ROUTES,
    *about.LAST,
]
