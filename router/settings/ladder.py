"""How a candidate is tried on live traffic before it is put in force."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from router.settings.values import Count, Duration, Section, refuse_bool

CanaryShare = Annotated[float, BeforeValidator(refuse_bool), Field(gt=0, lt=1)]


class CanarySettings(Section):
    """``shares``: of the traffic that it drafts for, one after the other; ``each``: its drafts that
    must have been compared at a share before the next; ``within``: seconds in which those must be
    expected, or the share is left out."""

    enabled: bool = True
    shares: Annotated[tuple[CanaryShare, ...], Field(min_length=1, max_length=10)] = (
        *(0.01, 0.05),
        0.25,
    )
    each: Count = 50
    within: Duration = 6 * 3600.0

    @model_validator(mode="after")
    def _ascends(self) -> CanarySettings:
        if any(b <= a for a, b in zip(self.shares, self.shares[1:], strict=False)):
            raise ValueError("must have shares that grow, such as [0.01, 0.05, 0.25]")
        return self


def _read_canary(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


class LadderSettings(Section):
    """The rungs on live traffic; None: on for a student behind a server, off for an embedded one.

    ``shadow``: so many of its drafts at most are compared beside those of the release in force,
    0: none.
    """

    shadow: Annotated[int, BeforeValidator(refuse_bool), Field(ge=0, le=100_000)] | None = None
    canary: Annotated[CanarySettings | None, BeforeValidator(_read_canary)] = None
