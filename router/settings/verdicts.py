"""Verdicts: what an application says of its answers, for a promise on accuracy."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from router.settings.values import Duration, Section, refuse_bool


class VerdictSettings(Section):
    """Whose answers the application is asked to judge: a ``share`` of the interactions, drawn by
    chance; silence for ``within`` seconds says wrong."""

    share: Annotated[float, BeforeValidator(refuse_bool), Field(gt=0, le=1)] = 0.2
    within: Annotated[Duration, Field(gt=0, le=30 * 86_400)] = 86_400.0
