"""Every type that travels without pickle. A new one is a file beside this one, a number in ``wire.py``, a line here."""

from __future__ import annotations

from orchestrator.serializers import (
    arrays,
    dependencies,
    exceptions,
    extensions,
    frames,
    moments,
    named_values,
    pickling,
    records,
    secret_values,
    stdlib_types,
)

EXACT_TYPES = (dependencies, moments, stdlib_types)  # these enter themselves when they are imported

# The order matters where a class is two things: an exception that is a dataclass is an exception, numpy's float64 is
# not a subclass of float to us, a dataclass that is also a dict is a dict. The last one takes everything.
extensions.use_finders(
    (
        exceptions.find,
        moments.find,
        arrays.find,
        frames.find,
        secret_values.find,
        records.find,
        named_values.find,
        pickling.find,
    )
)
