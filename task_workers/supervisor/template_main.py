"""The template process: it imports the app once, and children are forked from it.

It has no threads, no connections and no event loop, and runs no calls. A child is forked twice over: the process in
between ends at once, so that the child becomes the supervisor's (see ``template``), which sees how it ends and
whose death ends it, as if it had started the child itself.

The template ends when its supervisor does: its socket is at its end then, and on Linux the kernel kills it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import os
import socket
import sys
from typing import Final, NoReturn

from task_workers.app import import_tasks
from task_workers.logs import set_up
from task_workers.supervisor import child_main
from task_workers.supervisor.child_signals import die_with_parent
from task_workers.supervisor.fork_safety import open_descriptors, why_not_forked
from task_workers.supervisor.messages import Forked, Imported, decode_template_spec, encode
from task_workers.supervisor.supervisor_pipe import ORPHANED, SupervisorPipe

MAX_MESSAGE_BYTES: Final = 1 << 16
MAX_DESCRIPTORS: Final = 8
_BUFFERED: Final = frozenset((io.TextIOWrapper, io.BufferedWriter))


def main() -> None:
    """The program; its argument is the number of the socket to the supervisor."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    run(control)


def run(control: socket.socket) -> NoReturn:
    """Be a template, and in children that are forked from it a child, until the process ends."""
    spec = decode_template_spec(control.recv(MAX_MESSAGE_BYTES))
    die_with_parent(spec.parent_pid)
    faulthandler.enable(all_threads=False)
    writer = set_up(spec.log_level, spec.log_format, "import", worker=spec.worker)
    before = open_descriptors()
    failure = import_tasks(spec.apps, spec.python_path, spec.for_flow_runs)
    unsafe = why_not_forked(before)
    gc.collect()
    flush_files()
    gc.freeze()  # a collection in a child would write into the pages of every object, and so copy them
    _send(control, Imported(unsafe))
    orders = serve(control)
    os.dup2(orders, 0)
    os.close(orders)
    child_main.run(SupervisorPipe(), writer, failure)


def flush_files() -> None:
    """Write what is buffered in open files: each child would write it again."""
    files = [found for found in gc.get_objects() if type(found) in _BUFFERED]
    for found in (sys.stdout, sys.stderr, *files):  # a collector that was frozen before does not know those two
        with contextlib.suppress(Exception):  # an app may have put anything in the place of the two
            found.flush()


def serve(control: socket.socket) -> int:
    """Fork a child for each message that comes with descriptors. Returns in children: the number of their orders."""
    while True:
        try:
            request, descriptors, _, _ = socket.recv_fds(control, 1, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            os._exit(ORPHANED)
        if not request:
            os._exit(0)
        try:
            pid = _fork()
        except OSError as error:
            reply = Forked(0, [], str(error))
        else:
            if pid == 0:
                control.close()
                return descriptors[0]
            reply = Forked(pid, descriptors)
        for fd in descriptors:
            os.close(fd)
        _send(control, reply)


def _fork() -> int:
    """Fork a process that belongs to our parent (which has made itself the one that orphans go to).

    Returns its id, and 0 in that process. Raises OSError when the system does not let us.
    """
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        os.close(reader)
        if _fork_and_end():
            os.setsid()  # a group of its own, before anybody knows its id: it is killed with what its calls started
            os.write(writer, str(os.getpid()).encode())
            os.close(writer)
            return 0
    os.close(writer)
    pid = os.read(reader, 32)
    os.close(reader)
    with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored
        os.waitpid(between, 0)
    if not pid:
        raise OSError("the template process cannot fork")
    return int(pid)


def _fork_and_end() -> bool:
    """True in a new process; the one that has called this ends."""
    try:
        if os.fork() == 0:
            return True
    except OSError:
        os._exit(1)
    os._exit(0)


def _send(control: socket.socket, message: Imported | Forked) -> None:
    try:
        control.send(encode(message))
    except OSError:
        os._exit(ORPHANED)


if __name__ == "__main__":
    main()
