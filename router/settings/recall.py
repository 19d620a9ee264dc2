"""Whether, and how long, the teacher's own answers are given again."""

from __future__ import annotations

from typing import Any

from router.settings.values import Count, Duration, Section


class RecallSettings(Section):
    """Whether the teacher's own earlier answers to the same question may be given again.

    ``max_age``: seconds after which an answer isn't given any more; ``max_answers``: how many are
    kept for each workload, the least recently used ones dropped.
    """

    enabled: bool = True
    max_age: Duration = 7 * 86_400.0
    max_answers: Count = 5_000


def read_recall(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value
