"""``my_task.schedule(...)``: what makes a task one that can be called at the ticks of a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike
    from orchestrator.scheduling.declarations import Declaration


class Schedulable:
    """A part of every task; see :class:`orchestrator.tasks.Task`."""

    def schedule(
        self: TaskLike,
        name: str,
        *,
        cron: str | None = None,
        interval: float | timedelta | str | None = None,
        rrule: str | None = None,
        schedule: Any = None,
        timezone: str | None = None,
        anchor_date: datetime | None = None,
        parameters: Mapping[str, Any] | None = None,
        queue: str | None = None,
        priority: str | None = None,
        expires: float | timedelta | None = None,
        version: str | None = None,
        **policies: Any,
    ) -> Declaration:
        """Have it called at each tick of a schedule, by whichever workers of this app live then (ours).

        This only notes the wish. Workers (``orchestrator worker -A app``) write it to the store when they start, or
        ``orchestrator schedule apply -A app`` does; from then on the calls are made once per tick, without another
        process. Of two versions of the code that run at the same time the higher one counts.

        Args:
            name: of the schedule, 1 to 200 characters; unique among the apps of a namespace.
            cron, interval, rrule, schedule: exactly one; see :class:`orchestrator.schedules.Schedule`.
            timezone, anchor_date: as there.
            parameters: the arguments of each call, by name.
            queue, priority: other ones than the task's.
            expires: seconds after its tick (a number or a timedelta) by which a call that has not started is Cancelled.
            version: of the code that says this, such as ``"2.1"``; default: the task's, else the newest file of the
                app decides.
            policies: ``catchup``, ``overlap``, ``jitter``, ``active`` and the other fields of a schedule.

        Raises:
            ValueError, TypeError: a value that is none; it is in the message.
            ParameterBindError: the task cannot be called with these parameters.
            ConfigurationError: the name is taken by another schedule of this app.

        >>> from orchestrator import task
        >>> @task
        ... def tidy(days: int) -> None: ...
        >>> tidy.schedule("tidy up", cron="0 3 * * *", timezone="Europe/Oslo", parameters={"days": 7}).schedule.cron
        '0 3 * * *'
        """
        from orchestrator.scheduling.declarations import calling_frame, declare, schedule_of_keywords
        from orchestrator.submission.call_options import CallOptions

        timing = {"interval": interval, "cron": cron, "rrule": rrule, "timezone": timezone, "anchor_date": anchor_date}
        made = schedule_of_keywords(schedule, timing, parameters, policies)
        options = CallOptions.checked(None, None, expires, priority, queue, None)
        return declare(self, name, made, options, version, calling_frame(1))
