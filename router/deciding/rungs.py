"""Keeps how far each further model's drafts can be trusted, and what they cost, per workload."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from policies.promise.drift import Alarm
from policies.scoring.online import WINDOW, OnlineGate
from router.meter.prices import TeacherCostEstimator
from router.record.model import Interaction
from router.record.store import Store
from router.upstream.model import UpstreamTarget

_READ = 5 * WINDOW
"""Newest answers of the teacher that are read for comparisons after a restart."""

_MOST_ALARMS = 100


@dataclass(kw_only=True)
class _Known:
    """Gates by model and by what its drafts were compared with (``name_pair``); costs by model."""

    gates: dict[tuple[str, str], OnlineGate] = field(default_factory=dict)
    costs: TeacherCostEstimator = field(default_factory=TeacherCostEstimator)


class RungKeeper:
    """Gates and costs by workload and model. Used from one event loop only.

    They are filled by the first call for a workload from what the store holds of comparisons and
    calls, through the same code that takes in new ones. What was compared before an alarm about
    agreement, or about the teacher, says nothing of what came after. Several workers each learn
    from their own requests, and from all at their start.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}
        self._heeded: dict[str, Alarm | None] = {}

    def open(self, workload: str) -> None:
        """Read what is known of the workload, once. Blocks the first time."""
        if workload not in self._known:
            self._known[workload] = self._read(workload)

    def gate(self, workload: str, rung: str, pair: str) -> OnlineGate:
        """The gate over the model's drafts; the first call for a workload reads the store."""
        self.open(workload)
        return self._known[workload].gates.setdefault((rung, pair), OnlineGate())

    def cost(self, workload: str, rung: str) -> Decimal | None:
        """The mean USD of a draft so far; None before the first one whose cost is known."""
        self.open(workload)
        return self._known[workload].costs.estimate(rung)

    def heed(self, workload: str, alarm: Alarm | None) -> None:
        """``alarm``: the newest about drift. At a new one about agreement or the teacher itself all
        gates of the workload begin anew."""
        self.open(workload)
        before = self._heeded.setdefault(workload, alarm)
        if alarm is not None and alarm != before and alarm.kind in ("agreement", "teacher"):
            self._known[workload].gates.clear()
        self._heeded[workload] = alarm

    def observe(self, record: Interaction) -> None:
        """Take in an interaction that is over, where its workload has such models."""
        known = self._known.get(record.workload)
        if known is None:
            return
        for attempt in record.attempts:
            if attempt.purpose == "draft" and attempt.cost_usd and attempt.basis == "answer":
                known.costs.observe(attempt.model, attempt.cost_usd)
        for step in record.trace:
            _learn(known, step, record.propensity)

    def _read(self, workload: str) -> _Known:
        known = _Known()
        for rung, (total_usd, drafts) in self._store.draft_costs(workload, _READ).items():
            known.costs.seed(rung, total_usd, drafts)
        changes = [
            one.at
            for one in self._store.alarms(_MOST_ALARMS, workload)
            if one.kind in ("agreement", "teacher")
        ]
        since_s = max(changes, default=0.0)
        for trace, propensity in self._store.traces(workload, _READ, since_s=since_s):
            for step in trace:
                _learn(known, step, propensity)
        return known


def name_pair(rung: UpstreamTarget, teacher: UpstreamTarget) -> str:
    """Names whose drafts are held against whose answers: other models have gates of their own."""
    where = [f"{one.base_url} {one.model}" for one in (rung, teacher)]
    return hashlib.sha256("\n".join(where).encode()).hexdigest()[:12]


def write_comparison(signals: Mapping[str, float], agreed: bool, pair: str) -> dict[str, Any]:
    """What a gate learns of a draft, for its step of a stored trace."""
    return {"signals": dict(signals), "agreed": agreed, "pair": pair}


def _learn(known: _Known, step: Mapping[str, Any], propensity: float) -> None:
    found = step.get("compared")
    if found is None:
        return
    gate = known.gates.setdefault((step["rung"], found["pair"]), OnlineGate())
    gate.observe(found["signals"], found["agreed"], propensity)
