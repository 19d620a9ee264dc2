"""What one dataset has and another hasn't."""

from __future__ import annotations

from typing import Any

from distill.dataset.merging import fold
from distill.dataset.model import Bundle

_NOT_COMPARED = ("digest", "format")


def compare(before: Bundle, after: Bundle) -> dict[str, Any]:
    """JSON-ready: ``manifest`` (entries that differ), and the examples' ids that were ``removed``,
    ``added``, or ``changed``: the same question, another answer."""
    names = [n for n in {**before.manifest, **after.manifest} if n not in _NOT_COMPARED]
    pairs = {n: (before.manifest.get(n), after.manifest.get(n)) for n in names}
    old = {fold(example.text): example for example in before.examples}
    new = {fold(example.text): example for example in after.examples}
    return {
        "manifest": {n: {"before": a, "after": b} for n, (a, b) in pairs.items() if a != b},
        "removed": [old[text].id for text in old if text not in new],
        "added": [new[text].id for text in new if text not in old],
        "changed": [new[t].id for t in new if t in old and new[t].key != old[t].key],
    }
