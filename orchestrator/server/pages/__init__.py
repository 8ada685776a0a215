"""The pages: HTML rendered on the server from ``Queries``, and forms for actions.

One file per page or two; ``rendering.py`` is shared by all, ``formatting.py`` formats values, and ``charts.py``,
``timeline.py`` and ``graph.py`` draw SVG with a text alternative.
"""

from __future__ import annotations

from typing import Final

from orchestrator.server.pages import (
    about,
    artifacts,
    automations,
    blocks,
    controls,
    deployments,
    events,
    flows,
    limits,
    me,
    overview,
    people,
    resume_form,
    runs,
    schedules,
    variables,
    work_pools,
)

routes: Final = [
    *overview.ROUTES,
    *runs.ROUTES,
    *flows.ROUTES,
    *resume_form.ROUTES,
    *deployments.ROUTES,
    *schedules.ROUTES,
    *events.ROUTES,
    *work_pools.ROUTES,
    *limits.ROUTES,
    *artifacts.ROUTES,
    *automations.ROUTES,
    *blocks.ROUTES,
    *variables.ROUTES,
    *controls.ROUTES,
    *people.ROUTES,
    *me.ROUTES,
    *about.ROUTES,
    *about.LAST,
]
