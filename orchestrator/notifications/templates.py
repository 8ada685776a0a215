"""``{{ name }}`` in what a webhook of one's own is sent. Pure.

A text that is nothing but a placeholder becomes the value as it is; inside of a text it becomes text. As in Prefect 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_PLACEHOLDER: Final = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


def names_in(template: Any) -> set[str]:
    """The names of all placeholders, also those in keys.

    >>> sorted(names_in({"text": "{{ subject }}: {{body}}", "tags": ["{{name}}"]}))
    ['body', 'name', 'subject']
    """
    return {name for text in _texts(template) for name in _PLACEHOLDER.findall(text)}


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with its placeholders filled in; those without a value stay.

    >>> filled({"text": "{{subject}}: {{ body }}", "n": "{{n}}"}, {"subject": "etl", "body": "late", "n": 3})
    {'text': 'etl: late', 'n': 3}
    """
    if isinstance(template, str):
        alone = _PLACEHOLDER.fullmatch(template.strip())
        if alone and alone[1] in values:
            return values[alone[1]]
        return _PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), template)
    if isinstance(template, Mapping):
        return {filled(key, values): filled(part, values) for key, part in template.items()}
    if isinstance(template, list | tuple):
        return [filled(part, values) for part in template]
    return template


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for key, part in template.items():
            yield from _texts(key)
            yield from _texts(part)
    elif isinstance(template, list | tuple):
        for part in template:
            yield from _texts(part)
