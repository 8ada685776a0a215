"""Settings as objects, as Prefect has them: ``ORCHESTRATOR_REDIS_URL.value()``, ``temporary_settings({...})``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestrator.configuration.names import OF_PREFECT, PREFIX, variable_of
from orchestrator.settings import Settings, current, use


class Setting:
    """One setting.

    Attributes:
        name: the environment variable.
        field: its attribute of :class:`~orchestrator.settings.Settings`.

    >>> from orchestrator.settings import ORCHESTRATOR_BEAT_SECONDS
    >>> ORCHESTRATOR_BEAT_SECONDS.field, ORCHESTRATOR_BEAT_SECONDS.default()
    ('beat_seconds', 2.0)
    """

    def __init__(self, field: str) -> None:
        self.field, self.name = field, variable_of(field)

    def value(self) -> Any:
        """What holds in this process. Raises ConfigurationError."""
        return getattr(current(), self.field)

    def default(self) -> Any:
        """What holds unless something is set."""
        return Settings.model_fields[self.field].get_default()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setting) and other.field == self.field

    def __hash__(self) -> int:
        return hash(self.field)

    def __repr__(self) -> str:
        return f"<Setting {self.name}>"


def setting_named(name: str) -> Setting | None:
    """The setting of an environment variable, Prefect's included; ``None`` where there is no such setting.

    >>> setting_named("PREFECT_API_URL")
    <Setting ORCHESTRATOR_API_URL>
    """
    if name in OF_PREFECT:
        return Setting(OF_PREFECT[name])
    field = name.removeprefix(PREFIX).lower()
    return Setting(field) if name.startswith(PREFIX) and field in Settings.model_fields else None


@contextmanager
def temporary_settings(
    updates: Mapping[Setting | str, Any] | None = None,
    set_defaults: Mapping[Setting | str, Any] | None = None,
    restore_defaults: Iterable[Setting | str] | None = None,
) -> Iterator[Settings]:
    """Other settings inside the block, for the whole process. A connection that is open stays as it is.

    Args:
        updates: what changes; keys are settings, their fields or their variables. ``None`` as a value: the default.
        set_defaults: what changes unless it has been set to something.
        restore_defaults: what goes back to its default.

    Raises:
        ConfigurationError: a value is not allowed.
        ValueError: there is no such setting.

    >>> with temporary_settings({"task_default_retries": 3}):
    ...     current().task_default_retries
    3

    Follows Prefect 3 (``prefect.settings.temporary_settings``).
    """
    before = current()
    values = {field: getattr(before, field) for field in before.model_fields_set}
    for name in restore_defaults or ():
        values[_field(name)] = Setting(_field(name)).default()
    for name, value in (set_defaults or {}).items():
        values.setdefault(_field(name), value)
    for name, value in (updates or {}).items():
        values[_field(name)] = Setting(_field(name)).default() if value is None else value
    with use(Settings(**values)) as changed:
        yield changed


def _field(key: Setting | str) -> str:
    if isinstance(key, Setting):
        return key.field
    found = setting_named(key) or setting_named(variable_of(key))
    if found is None:
        raise ValueError(f"there is no setting {key!r}")
    return found.field
