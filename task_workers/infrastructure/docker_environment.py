"""How docker is given the environment of a container: in a file of its own, neither in its command line, where others
on the machine can read it, nor in docker's own environment, where it would mean something to docker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from orchestrator.errors import ConfigurationError

LONGEST_LINE: Final = 60_000  # bytes; docker reads lines of less than 64 KiB
_NAME: Final = re.compile(r"[^\s=#\0][^\s=\0]*")
_OF_PROGRAMS: Final = re.compile(  # read by docker, by what it starts (ssh, credential helpers), by the loader
    r"(?i)path|home|user|logname|shell|term|lang|tmpdir|tmp|temp|tz|ifs|env|.*_proxy|gnupghome|gpg_tty|gpg_agent_info"
    r"|ssl_cert_(file|dir)|ssh_(auth_sock|agent_pid|askpass.*|sk_.*)|google_application_credentials"
    r"|go(debug|gc|maxprocs|memlimit|traceback|coverdir)|(perl|ruby|java|node|jdk_java)_?(tool_)?(lib|opt|options|path)"
    r"|container_(host|connection|sshkey)|password_store_.*"
    r"|(docker|buildkit|buildx|compose|moby|containers|podman|ld|dyld|glibc|malloc|xdg|lc|aws|azure|cloudsdk|bash|otel"
    r"|krb5|dbus)_.*|python.*"
)


class Handed(NamedTuple):
    """An environment in the forms in which docker takes it.

    Attributes:
        file: text of a file for ``--env-file``: a variable a line.
        named: variables that no line can hold. Docker takes their values from its own environment; none of them has
            a name that means something to it.
    """

    file: str
    named: dict[str, str]


def handed(environment: Mapping[str, str]) -> Handed:
    """The environment of a container.

    Raises:
        ConfigurationError: docker cannot be given a variable. Its value is not in the message.

    >>> handed({"CITY": "Oslo", "https_proxy": "http://proxy:3128", "KEY": "line 1\\nline 2"})
    Handed(file='CITY=Oslo\\nhttps_proxy=http://proxy:3128\\n', named={'KEY': 'line 1\\nline 2'})
    """
    lines, named = [], {}
    for name, value in environment.items():
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"docker takes no variable {name[:100]!r}: names have neither spaces, nor = or #")
        if "\0" in value or not _is_unicode(name + value):
            raise ConfigurationError(f"the value of the variable {name!r} is no text that docker takes")
        if _fits_in_a_line(name, value):
            lines.append(f"{name}={value}\n")
        elif _OF_PROGRAMS.fullmatch(name):
            raise ConfigurationError(
                f"the value of the variable {name!r} has more than one line, or {LONGEST_LINE:,} bytes: docker would "
                "take it as its own. Give it in one line, or under another name"
            )
        else:
            named[name] = value
    return Handed("".join(lines), named)


def _fits_in_a_line(name: str, value: str) -> bool:
    return "\n" not in value and not value.endswith("\r") and len(f"{name}={value}".encode()) <= LONGEST_LINE


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
