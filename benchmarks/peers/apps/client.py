"""The sending side, in the environment of a peer: ``python client.py on_celery``.

Reads a question a line from standard input, as JSON (``["send", "note", "/tmp/x", "hello"]``, ``["state", "<id>"]``,
``["worker", "name"]``, ``["settings"]``), and writes the answer as a line of JSON.

The verbs are the functions that every ``on_*`` module has: ``settings()`` in words, ``worker(name)`` the commands that
make one worker of two processes, ``send(task, *arguments)`` which gives an id, and ``state(id)``: ``done``, or where
the call is. Variables say where the server is (``PEER_URL``) and which settings are meant (``PEER_SETTINGS``):
``documented``, the reliable ones of its documentation, or ``tuned``, with time limits as short as they may be.
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    # Libraries may print; what they print must not look like an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    app = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        answers.write(json.dumps(getattr(app, verb)(*arguments)) + "\n")


if __name__ == "__main__":
    main()
