"""How an outlook words a promise on accuracy, and what verdicts say of the teacher itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from policies.promise.certificate import About, Terms
from policies.promise.outlook import bound_rate
from policies.types import Trial
from router.wording import show_share

ERRS: Mapping[About, str] = MappingProxyType(
    {
        "agreement": "its drafts disagree",
        "accuracy": "drafts and the teacher's answers together are wrong",
    }
)
"""What happens too often where a promise can't be kept."""

COMPARED: Mapping[About, str] = MappingProxyType(
    {
        "agreement": "drafts were compared with the teacher's answers",
        "accuracy": "verdicts were given or are overdue",
    }
)
"""What evidence consists of."""


def tell_of_teacher(trials: Sequence[Trial], terms: Terms) -> tuple[str, bool]:
    """How often the teacher was right, and whether that is proven to be less than is promised.

    Its interval holds at all times at once. Empty and False before the first verdict.
    """
    seen = [trial for trial in trials if trial.seen]
    right = sum(not trial.teacher_wrong for trial in seen)
    low, high = bound_rate(right, len(seen), terms.confidence)
    if not seen:
        return "", False
    measured = (
        f"The teacher was right in {right} of {len(seen)} verdicts, silence counted as wrong:"
        f" between {show_share(low)} and {show_share(high)} at {show_share(terms.confidence)}"
        " confidence."
    )
    if high >= terms.at_least:
        return measured, False
    told = (
        f"Infeasible: the teacher itself is right in at most {show_share(high)}, and"
        f" {show_share(terms.at_least)} are promised. {measured}"
    )
    return told, True
