"""What has to be done now and then for the fleet; one trade per file, the same shape each.

``heartbeat`` says that consumers live, ``rescue`` takes over the calls of those that do not, ``mover`` queues what is
due, ``janitor`` finds what nobody looks after. Whoever runs slots runs these: a worker's supervisor, ``serve``, a flow
with workers of its own. There is no leader: each chore is one script that may run anywhere, any number of times.
"""

from orchestrator.chores.chore import Chore
from orchestrator.chores.heartbeat import Heartbeat
from orchestrator.chores.janitor import Janitor
from orchestrator.chores.mover import Mover
from orchestrator.chores.rescue import Rescue

__all__ = ["Chore", "Heartbeat", "Janitor", "Mover", "Rescue"]
