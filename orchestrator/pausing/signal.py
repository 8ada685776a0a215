"""What ends the process of a flow run that is suspended."""

from __future__ import annotations


class SuspendFlowRun(BaseException):
    """Raised inside a flow to suspend its run; not an Exception, so that ``except Exception`` lets it pass.

    ``pause_id`` is the call behind which the run waits.
    """

    def __init__(self, pause_id: str) -> None:
        super().__init__("the flow run is suspended")
        self.pause_id = pause_id
