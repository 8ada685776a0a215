"""Words around an argument that say how it is to be taken: ``unmapped``, ``allow_failure``, ``quote``, ``opaque``, ...

Follows Prefect 3 (``prefect.utilities.annotations``).
"""

from __future__ import annotations

from typing import Any


class unmapped:
    """An argument of ``map`` that is the same for every call. ``unmapped(x).value`` is ``x``.

    >>> unmapped([1, 2])[99]
    [1, 2]

    Follows Prefect 3 (``prefect.unmapped``).
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __getitem__(self, index: object) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"unmapped({self.value!r})"


class allow_failure:
    """An argument whose run may fail: the task then gets the exception instead of the result.

    Follows Prefect 3 (``prefect.allow_failure``).
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"allow_failure({self.value!r})"


class quote:
    """A value that is taken as it is: nothing inside is looked at, no future in it is waited for.

    A flow that returns ``quote(state)`` completes with that state as its result.

    >>> quote([1, 2]).unquote()
    [1, 2]
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def unquote(self) -> Any:
        """The value."""
        return self.value

    unwrap = unquote

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


class freeze(quote):
    """A parameter whose value is final; the function gets the value itself.

    >>> freeze({"a": 1}).unfreeze()
    {'a': 1}
    """

    __slots__ = ()

    def unfreeze(self) -> Any:
        """The value."""
        return self.value


class opaque:
    """A future or State whose result is waited for, but not looked into for further ones.

    >>> opaque(5).unwrap()
    5
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def unwrap(self) -> Any:
        """What it was given."""
        return self.value

    def __repr__(self) -> str:
        return f"opaque({self.value!r})"


__all__ = ["allow_failure", "freeze", "opaque", "quote", "unmapped"]
