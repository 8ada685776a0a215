"""Shapes of conditions, one for each kind of value; the filters name them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from orchestrator.client.schemas.base import RunId
from orchestrator.states import StateType


class Criterion(BaseModel):
    """A condition; what is left out says nothing. Unknown names are refused: an ignored filter shows too much."""

    model_config = ConfigDict(extra="forbid")


class OfIds(Criterion):
    """One of these ids."""

    any_: list[RunId] | None = None


class OfIdsOrNone(OfIds):
    """One of these ids, or none at all."""

    is_null_: bool | None = None


class OfNames(Criterion):
    """One of these names."""

    any_: list[str] | None = None


class LikeNames(OfNames):
    """One of these names, or one that holds a text, any case; ``%`` stands for any text."""

    like_: str | None = None


class WithTags(Criterion):
    """All of these tags, one of those, or none at all."""

    all_: list[str] | None = None
    any_: list[str] | None = None
    is_null_: bool | None = None


class IsTrue(Criterion):
    """This value."""

    eq_: bool | None = None


class AtMoments(Criterion):
    """Between two moments; both need a time zone."""

    after_: datetime | None = None
    before_: datetime | None = None


class AtMomentsOrNone(AtMoments):
    """Between two moments, or whether there is one."""

    is_null_: bool | None = None


class OfStateTypes(Criterion):
    """One of these types, and none of those."""

    any_: list[StateType] | None = None
    not_any_: list[StateType] | None = None


class OfStateNames(OfNames):
    """One of these names, and none of those."""

    not_any_: list[str] | None = None
