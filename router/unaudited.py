"""Answers that are settled but for their audit, which may take as long as the teacher does."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

_MOST = 1000


class Unaudited:
    """What can be told of an interaction between its delivery and its record: the newest thousand.

    Used from one event loop only.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, Mapping[str, Any]]] = OrderedDict()

    def put(self, interaction_id: str, key_name: str, summary: Mapping[str, Any]) -> None:
        """Keep the summary for the caller whose interaction it is."""
        self._kept[interaction_id] = (key_name, summary)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def find(self, interaction_id: str, key_name: str) -> Mapping[str, Any] | None:
        """The summary, None for what isn't kept or is another's. The record, once there is one,
        knows more."""
        owner, summary = self._kept.get(interaction_id, ("", None))
        return summary if owner == key_name else None
