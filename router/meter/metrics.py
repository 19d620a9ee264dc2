"""Prometheus metrics under the names of the contract.

Labels are bounded: no user, path or prompt ever becomes one, and what clients or configurations
can multiply (workloads, models, reasons) is folded into "other" beyond a hundred values.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from policies.promise.certificate import About
from router.meter.board import Board
from router.meter.pooling import ESCALATION, OTHER, Reading, pool, read_families
from router.meter.prices import Usage
from router.meter.promises import PromiseGauges
from router.meter.tallies import TallyCounter, TallyHistogram

_MOST_VALUES = 100
_WINDOW = 1_000
"""Interactions of a workload over which ``tutelage_escalation_ratio`` is taken."""

_COST_BUCKETS = tuple(m * 10.0**e for e in range(-6, 1) for m in (1.0, 2.5, 5.0))
_OVERHEAD_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0
)  # fmt: skip
# The bucket boundaries that OpenTelemetry's GenAI conventions recommend.
_TOKEN_BUCKETS = tuple(float(4**e) for e in range(14))
_DURATION_BUCKETS = tuple(0.01 * 2**e for e in range(14))


class ObservedAttempt(Protocol):
    """What is read of an attempt; latency in milliseconds."""

    @property
    def model(self) -> str: ...
    @property
    def latency_ms(self) -> float: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def basis(self) -> str: ...
    @property
    def error(self) -> str | None: ...


class Observed(Protocol):
    """What is read of a finished interaction; ``router.record.model.Interaction`` fits."""

    @property
    def workload(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def cost_usd(self) -> Decimal | None: ...
    @property
    def teacher_cost_usd(self) -> Decimal | None: ...
    @property
    def overhead_ms(self) -> float: ...
    @property
    def attempts(self) -> Sequence[ObservedAttempt]: ...


class _Window:
    """Share of the last ``_WINDOW`` events that were hits."""

    def __init__(self) -> None:
        self._events: deque[bool] = deque()
        self._hits = 0

    def add(self, hit: bool) -> None:
        self._events.append(hit)
        self._hits += hit
        if len(self._events) > _WINDOW:
            self._hits -= self._events.popleft()

    @property
    def share(self) -> float:
        return self._hits / len(self._events)

    @property
    def size(self) -> int:
        return len(self._events)


class _Page(Collector):
    """What was pooled, for whoever writes it."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Sequence[Metric]:
        return self._metrics


class Metrics:
    """All metrics of one process, in a registry of their own. Thread-safe.

    ``board``: where the processes of one gateway show each other theirs; None for one alone.
    """

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._workloads: set[str] = set()
        self._models: set[str] = set()
        self._reasons: set[str] = set()
        self._escalated: dict[str, _Window] = {}
        self._releases: dict[str, tuple[str, str]] = {}
        self._declare_interactions()
        self._declare_promises()
        self._declare_models()
        self._declare_operation()

    def _declare_interactions(self) -> None:
        registry = self._registry
        self._interactions = TallyCounter(
            "tutelage_interactions",
            "Interactions by the tier that answered and why.",
            ("workload", "tier", "reason"),
            registry=self._registry,
        )
        self._cost = TallyCounter(
            "tutelage_cost_usd",
            "USD spent on interactions, by the tier that answered, audits included.",
            ("workload", "tier"),
            registry=self._registry,
        )
        self._cost_unknown = TallyCounter(
            "tutelage_cost_unknown",
            "Interactions whose cost is unknown (no usage or no price); not in the sums.",
            ("workload", "tier"),
            registry=self._registry,
        )
        self._teacher_cost = TallyCounter(
            "tutelage_teacher_cost_usd",
            "USD that always asking the teacher would have cost.",
            ("workload",),
            registry=self._registry,
        )
        self._interaction_cost = TallyHistogram(
            "tutelage_interaction_cost_usd",
            "USD per interaction.",
            buckets=_COST_BUCKETS,
            registry=self._registry,
        )
        self._overhead = TallyHistogram(
            "tutelage_gateway_overhead_seconds",
            "Seconds of an interaction that weren't spent waiting for upstreams.",
            buckets=_OVERHEAD_BUCKETS,
            registry=self._registry,
        )
        self._dropped = Counter(
            "tutelage_records_dropped",
            "Records lost because the queue to the store was full or the store failed.",
            registry=registry,
        )

        self._bodies_dropped = Counter(
            "tutelage_record_bodies_dropped",
            "Records kept without content because the journal had grown too large.",
            registry=registry,
        )
        self._usage_missing = TallyCounter(
            "tutelage_usage_missing",
            "Calls that may have been billed and whose usage is unknown: a reason to look.",
            ("model",),
            registry=self._registry,
        )

    def _declare_operation(self) -> None:
        self._reloads = Counter(
            "tutelage_config_changes",
            "Changes of the configuration file, by whether they were taken up.",
            ("result",),
            registry=self._registry,
        )
        self._running = Gauge(
            "tutelage_requests_running", "Requests being answered.", registry=self._registry
        )
        self._waiting = Gauge(
            "tutelage_requests_waiting", "Requests that wait for a place.", registry=self._registry
        )
        self._refused = Counter(
            "tutelage_requests_refused",
            "Requests turned away because the worker had more than it could answer.",
            registry=self._registry,
        )
        of_budget = ("kind", "subject", "per")
        self._budget = Gauge(
            "tutelage_budget_usd", "USD of a budget.", of_budget, registry=self._registry
        )
        self._budget_spent = Gauge(
            "tutelage_budget_spent_usd",
            "USD spent and set aside in the budget's present period.",
            of_budget,
            registry=self._registry,
        )

    def _declare_promises(self) -> None:
        registry = self._registry
        self._promises = PromiseGauges(registry)
        self._drift = Counter(
            "tutelage_drift_alarms",
            "Alarms that something about a workload has changed, by what it was.",
            ("workload", "kind"),
            registry=registry,
        )
        self._escalation = Gauge(
            ESCALATION,
            f"Share of the last {_WINDOW} interactions that the teacher answered.",
            ("workload",),
            registry=registry,
        )
        self._release = Gauge(
            "tutelage_release_info",
            "1 for the student and policy in force.",
            ("workload", "student", "policy"),
            registry=registry,
        )

    def _declare_models(self) -> None:
        self._tokens = TallyHistogram(
            "gen_ai_client_token_usage",
            "Tokens per call of a model.",
            ("gen_ai_token_type", "gen_ai_request_model"),
            buckets=_TOKEN_BUCKETS,
            registry=self._registry,
        )
        self._calls = TallyCounter(
            "tutelage_calls",
            "Calls of a model, every try, by whether it answered.",
            ("model", "result"),
            registry=self._registry,
        )
        self._duration = TallyHistogram(
            "gen_ai_client_operation_duration_seconds",
            "Seconds per call of a model.",
            ("gen_ai_request_model",),
            buckets=_DURATION_BUCKETS,
            registry=self._registry,
        )

    def observe_interaction(self, record: Observed) -> None:
        """Count a finished interaction and each of its attempts. Call it once per interaction."""
        workload = self._fold(self._workloads, record.workload)
        reason = self._fold(self._reasons, record.reason)
        models = [self._fold(self._models, attempt.model) for attempt in record.attempts]
        tier = str(record.tier)
        with self._lock:
            self._interactions.add((workload, tier, reason))
            if record.cost_usd is None:
                self._cost_unknown.add((workload, tier))
            else:
                cost_usd = float(record.cost_usd)
                self._cost.add((workload, tier), cost_usd)
                self._interaction_cost.observe((), cost_usd)
            if record.teacher_cost_usd is not None:
                self._teacher_cost.add((workload,), float(record.teacher_cost_usd))
            self._overhead.observe((), record.overhead_ms / 1000.0)
            self._escalated.setdefault(workload, _Window()).add(tier == "teacher")
            for model, attempt in zip(models, record.attempts, strict=True):
                self._observe_attempt(model, attempt)

    def set_promise(
        self,
        workload: str,
        promise: float,
        lower_bound: float,
        about: About = "agreement",
        *,
        pooled: bool | None = None,
    ) -> None:
        """Show the agreement, or accuracy, promised for a workload and what is proven so far."""
        label = self._fold(self._workloads, workload)
        self._promises.set(label, promise, lower_bound, about, pooled)

    def add_drift_alarm(self, workload: str, kind: str) -> None:
        """Count an alarm; ``kind``: of ``policies.promise.drift.KINDS``."""
        self._drift.labels(self._fold(self._workloads, workload), kind).inc()

    def set_agreement_bound(self, workload: str, lower_bound: float) -> None:
        """Show the agreement proven so far for a workload that promises none."""
        self._promises.set_proven(self._fold(self._workloads, workload), lower_bound)

    def set_release(self, workload: str, *, student: str, policy: str) -> None:
        """Show what serves a workload now; what served it before disappears.

        ``student`` names the student with its release ("embedded@1a2b3c"), or "none".
        """
        label = self._fold(self._workloads, workload)
        with self._lock:
            before = self._releases.get(label)
            if before is not None and before != (student, policy):
                self._release.remove(label, *before)
            self._releases[label] = (student, policy)
            self._release.labels(label, student, policy).set(1)

    def add_config_change(self, *, taken_up: bool) -> None:
        """Count a change of the configuration file."""
        self._reloads.labels("taken_up" if taken_up else "refused").inc()

    def set_requests(self, *, running: int, waiting: int) -> None:
        """Show how many requests are being answered, and how many wait for a place."""
        self._running.set(running)
        self._waiting.set(waiting)

    def set_budgets(self, budgets: Sequence[tuple[str, str, str, Decimal, Decimal]]) -> None:
        """Show all budgets, or the hundred fullest: kind, subject, period, USD, USD spent."""
        fullest = sorted(budgets, key=lambda one: one[4] / (one[3] or 1), reverse=True)
        self._budget.clear()
        self._budget_spent.clear()
        for *labels, usd, spent in fullest[:_MOST_VALUES]:
            self._budget.labels(*labels).set(float(usd))
            self._budget_spent.labels(*labels).set(float(spent))

    def add_refused(self) -> None:
        """Count a request that was turned away for want of a place."""
        self._refused.inc()

    def add_dropped(self, records: int) -> None:
        """Count records that will never reach the store."""
        self._dropped.inc(records)

    def add_bodies_dropped(self, records: int) -> None:
        """Count records that are kept without their content."""
        self._bodies_dropped.inc(records)

    def render(self) -> tuple[bytes, str]:
        """The page that Prometheus scrapes, and its content type: of all processes that share a
        board. Blocks: call it off the event loop. Raises OSError where the board can't be used."""
        if self._board is None:
            self._show_escalation()
            return generate_latest(self._registry), CONTENT_TYPE_LATEST
        own = self._board.post(self._read)
        return generate_latest(_Page(pool(own, *self._board.look()))), CONTENT_TYPE_LATEST

    @property
    def is_shared(self) -> bool:
        """Whether others show what this process counts."""
        return self._board is not None

    def share(self) -> None:
        """Show the others what has been counted. Blocks. Raises OSError."""
        if self._board is not None:
            self._board.post(self._read)

    def _read(self) -> Reading:
        windows = self._show_escalation()
        return Reading(families=read_families(self._registry.collect()), windows=windows)

    def _show_escalation(self) -> dict[str, int]:
        """Over how many interactions of each workload."""
        with self._lock:
            for workload, window in self._escalated.items():
                self._escalation.labels(workload).set(window.share)
            return {workload: window.size for workload, window in self._escalated.items()}

    def _observe_attempt(self, model: str, attempt: ObservedAttempt) -> None:
        self._duration.observe((model,), attempt.latency_ms / 1000.0)
        self._calls.add((model, "answered" if attempt.error is None else "failed"))
        if attempt.basis == "unknown":
            self._usage_missing.add((model,))
        if attempt.usage is not None:
            self._tokens.observe(("input", model), attempt.usage.prompt_tokens)
            self._tokens.observe(("output", model), attempt.usage.completion_tokens)

    def _fold(self, known: set[str], value: str) -> str:
        """``value`` itself while there is room for it as a label, else "other"."""
        if value in known:
            return value
        with self._lock:
            if len(known) >= _MOST_VALUES:
                return OTHER
            known.add(value)
            return value
