"""Markdown of people as HTML that is safe to show: no HTML of theirs, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_RENDERED: Final = 100_000  # characters; of a longer text the beginning is shown as it was written
MAX_MARKS: Final = 20_000  # signs that may open something: rendering takes about a second for so many
MAX_NESTING: Final = 60  # what lies deeper the renderer would leave out without a word
SCHEMES: Final = frozenset(("http", "https", "mailto"))
_DEEP: Final = re.compile(r"^(?:[ \t]*(?:>|[-+*]|\d{1,9}[.)])){50}|^[ \t]{100}", re.MULTILINE)
_MARKS: Final = re.compile(r"[\[\]*_`~<>|!&\\]")


def is_followed(address: str) -> bool:
    """Whether an address may be a link: http, https and mailto only.

    >>> [is_followed(address) for address in ("https://example.com", "javascript:alert(1)", "/runs", "//x.y")]
    [True, False, False, False]
    """
    try:
        return urlsplit(address.strip()).scheme.lower() in SCHEMES and not re.search(r"[\x00-\x20]", address.strip())
    except ValueError:
        return False


def is_too_much(text: str) -> bool:
    """Whether a text is not rendered, since nobody should wait for it."""
    if len(text) > MAX_RENDERED or _DEEP.search(text) is not None:
        return True
    return sum(1 for _ in _MARKS.finditer(text)) > MAX_MARKS


def rendered(text: str) -> Markup | None:
    """A text as HTML, in which what looks like HTML is text; ``None``: it is too long, or too much is in it.

    >>> rendered("*a* <script> [b](javascript:x)")
    Markup('<p><em>a</em> &lt;script&gt; [b](javascript:x)</p>\\n')
    """
    return None if is_too_much(text) else Markup(_renderer().render(text))  # what it gives is escaped


@cache
def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])
    setattr(made, "validateLink", is_followed)  # noqa: B010 - the library's own way, which its types do not know
    made.add_render_rule("link_open", _link_open)
    made.add_render_rule("image", _image)
    for name in ("heading_open", "heading_close"):
        made.add_render_rule(name, _heading)
    for name in ("th_open", "td_open"):
        made.add_render_rule(name, _cell)
    return made


def _link_open(self: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "noopener noreferrer nofollow")
    html: str = self.renderToken(tokens, at, options, env)
    return html


def _heading(self: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    """Below those of the page."""
    level = min(6, int(tokens[at].tag[1:]) + 2)
    return f"<{'/' if tokens[at].nesting < 0 else ''}h{level}>"


def _cell(self: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    """Numbers stand to the right by a class: pages allow no styles in the text."""
    is_number = "right" in str(tokens[at].attrGet("style") or "")
    return f'<{tokens[at].tag} class="number">' if is_number else f"<{tokens[at].tag}>"


def _image(self: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    """A link to it: pages load nothing from elsewhere."""
    from markdown_it.common.utils import escapeHtml

    token = tokens[at]
    address = str(token.attrGet("src") or "")
    text = escapeHtml(self.renderInlineAsText(token.children or [], options, env) or address)
    return f'<a href="{escapeHtml(address)}" rel="noopener noreferrer nofollow">{text}</a>'
