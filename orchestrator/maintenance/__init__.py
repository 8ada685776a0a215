"""What has to be done now and then for the fleet; one trade per file, the same shape each.

``heartbeat`` says that consumers live, ``rescue`` takes over the calls of those that do not, ``mover`` queues what is
due, ``flow_watch`` ends flow runs whose process is gone, ``janitor`` finds what nobody looks after. Whoever runs slots
runs these in a ``worker_host``, together with an inbox for commands: a worker's supervisor, a Celery worker, ``serve``,
a flow with workers of its own. There is no leader: each chore is one script that may run anywhere, any number of times.
"""

from orchestrator.maintenance.chore import Chore
from orchestrator.maintenance.flow_watch import FlowWatch
from orchestrator.maintenance.heartbeat import Heartbeat
from orchestrator.maintenance.janitor import Janitor
from orchestrator.maintenance.mover import Mover
from orchestrator.maintenance.rescue import Rescue
from orchestrator.maintenance.worker_host import WorkerHost

__all__ = ["Chore", "FlowWatch", "Heartbeat", "Janitor", "Mover", "Rescue", "WorkerHost"]
