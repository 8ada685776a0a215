"""Text from runs made fit for a terminal or a log: what would steer the terminal is shown as an escape instead.

Names, errors, arguments, log lines and notes of progress come from whoever may send a call. Control characters (C0,
DEL, C1) move the cursor, set titles and write clipboards; directional formatting characters make a line read as another
one; lone surrogates cannot be written at all.
"""

from __future__ import annotations

import re
from typing import Final

_STEERS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directional formatting
    "\u2028\u2029\ufeff\ufff9-\ufffb\ud800-\udfff]"  # separators, marks, surrogates
)
_BREAKS: Final = re.compile("[\t\n]")
_NAMED: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    """The text with everything that steers a terminal escaped; line feeds and tabs stay.

    >>> printable("\\x1b]0;title\\x07 10 \\u20ac\\nnext")
    '\\\\x1b]0;title\\\\x07 10 €\\nnext'
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return _STEERS.sub(_escaped, text)


def on_one_line(text: str) -> str:
    """The same with line feeds and tabs escaped, too: for what must not look like a line of its own.

    >>> on_one_line("a\\nb")
    'a\\\\nb'
    """
    return _BREAKS.sub(_escaped, printable(text))


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
