"""The records: what is known about an interaction once it is over.

``None`` means unknown or not measured, never zero or false. Times are seconds since the epoch,
latencies milliseconds, money USD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Literal

from policies.promise.drift import Kind
from policies.types import Ask, InSlice, Tier
from router.meter.prices import Usage

Json = Any
"""Whatever ``json.loads`` returns."""

Purpose = Literal["answer", "draft", "proof", "audit", "shadow", "hedge"]
Basis = Literal["answer", "refused", "unknown", "unpriced", "legacy"]
"""What a cost rests on.

``answer``: computed from the usage and the rates of an answer. ``refused``: nothing was sent, or
the upstream answered with an error, which nobody bills: 0. ``unknown``: it may have been billed and
usage is missing. ``unpriced``: usage is known, rates for it are not. ``legacy``: taken as it
stands, from before costs were kept with what they rest on.
"""
Status = Literal["ok", "error", "broken"]
ReleaseState = Literal["candidate", "shadow", "canary", "active", "retired", "rejected"]
ReleaseAction = Literal[
    "shadow", "canary", "withdrawn", "promoted", "rolled_back", "rejected", "retired"
]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One call of a model on behalf of an interaction.

    ``status``: the upstream's HTTP status, None where there was none; ``model``: its key in the
    configuration; ``upstream_model``: what the upstream calls it; ``n``: counts from 0.
    ``cost_usd``: None where ``basis`` is unknown or unpriced; ``rates``: those that it was computed
    from, as ``Rates.to_json`` writes them; ``held_usd``: what an unknown cost counts as against a
    budget, never less than it is likely to be.
    """

    interaction_id: str
    n: int
    tier: Tier
    model: str
    purpose: Purpose
    started_at: float
    latency_ms: float
    status: int | None = None
    error: str | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    upstream_model: str | None = None
    basis: Basis = "legacy"
    rates: Mapping[str, str] | None = None
    held_usd: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """One client request with its final answer, every attempt, evidence and cost.

    ``train_ok``: the key consents and the client did not say ``store: false``.
    ``stored``: false keeps the content (request, texts, answers) out of the store; what it cost
    and how it was decided is kept all the same.
    ``request``: the body as received, redacted. ``input_text``: what the embedded student reads,
    redacted. ``group``: conversation or near-duplicate group; ``comparer``: decides agreement.
    ``status``: "broken" is a stream that ended early.
    ``teacher_answer``: wherever the teacher was asked, also in the background.
    ``evidence``: the draft's signals, as in ``policies.types.Evidence``.
    ``threshold``, ``level``, ``propensity``, ``floor``, ``seen``: as in ``policies.types.Trial``.
    ``agreed``: the delivered answer agrees with the teacher's; ``draft_agreed``: the draft does.
    ``teacher_cost_usd``: what the teacher's answer cost, or would have
    (``teacher_cost_estimated``).
    ``first_token_ms``: from the request to the first piece of a streamed answer; None for a whole
    answer, and where none came.
    """

    id: str
    created_at: float
    workload: str
    tenant: str
    key_name: str
    train_ok: bool
    stored: bool
    stream: bool
    request: Mapping[str, Json] | None
    input_text: str
    group: str
    comparer: str
    tier: Tier
    model: str
    reason: str
    status: Status
    answer: Mapping[str, Json] | None = None
    teacher_answer: Mapping[str, Json] | None = None
    teacher_model: str | None = None
    teacher_version: str | None = None
    draft: Mapping[str, Json] | None = None
    release: str | None = None
    confidence: float | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None
    level: int | None = None
    propensity: float = 1.0
    floor: float = 1.0
    seen: bool = False
    agreed: bool | None = None
    draft_agreed: bool | None = None
    cost_usd: Decimal | None = None
    teacher_cost_usd: Decimal | None = None
    teacher_cost_estimated: bool = False
    latency_ms: float = 0.0
    overhead_ms: float = 0.0
    first_token_ms: float | None = None
    trace: tuple[Mapping[str, Json], ...] = ()
    settings_digest: str = ""
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    """A teacher's answer that may be trained on, in the order (``seq``) in which it was stored."""

    seq: int
    id: str
    created_at: float
    workload: str
    tenant: str
    key_name: str = ""
    group: str
    comparer: str
    input_text: str
    request: Mapping[str, Json] | None
    teacher_answer: Mapping[str, Json]
    teacher_model: str | None
    teacher_version: str | None
    tier: Tier
    draft: Mapping[str, Json] | None
    draft_agreed: bool | None
    confidence: float | None
    evidence: Mapping[str, float]
    release: str | None
    propensity: float


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What a client says of an answer that it got.

    ``score``: from -1 (wrong) to 1 (right); ``correction``: what it should have said, redacted;
    ``label``: a word for it, or whatever else tells answers apart; ``at``: when it was said, which
    the store sets and a given one doesn't.
    """

    interaction_id: str
    score: float | None = None
    correction: str | None = None
    label: Json = None
    at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """An interaction with feedback that may be learned from, whoever answered it."""

    seq: int
    id: str
    created_at: float
    tenant: str
    key_name: str
    group: str
    comparer: str
    input_text: str
    request: Mapping[str, Json] | None
    teacher_answer: Mapping[str, Json] | None
    teacher_model: str | None
    feedback: Feedback


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided about an interaction, and what came of it: of ``Interaction``, what another
    decision can be judged by.

    ``audited``: the teacher was called in the background, whether or not it answered.
    ``teacher_cost_usd``: None also where it is but an estimate.
    """

    tier: Tier
    reason: str
    status: Status
    release: str | None
    confidence: float | None
    threshold: float | None
    propensity: float
    seen: bool
    audited: bool
    draft_agreed: bool | None
    teacher_cost_usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class PromiseState:
    """A certificate's state after some interaction.

    ``terms``: names what it was gathered for (``Terms.key``). ``upto_seq``: the interaction it
    ends with, to go on from with ``Store.trials``; ``Store.append`` sets it itself.
    """

    terms: str
    state: Mapping[str, Json]
    upto_seq: int = 0


@dataclass(frozen=True, kw_only=True)
class Release:
    """A trained bundle of a workload. ``number`` counts from 1 within the workload.

    ``promoted_at``: when it last became active, None before the first time.
    """

    digest: str
    workload: str
    number: int
    state: ReleaseState
    path: str
    created_at: float
    promoted_at: float | None
    report: Mapping[str, Json]

    @property
    def dataset(self) -> str | None:
        """The digest of what it learned from, where that was noted."""
        noted = self.report.get("dataset")
        digest = noted.get("digest") if isinstance(noted, Mapping) else noted
        return None if digest is None else str(digest)


@dataclass(frozen=True, kw_only=True)
class ReleaseEvent:
    """Something that was done to a release, and why."""

    workload: str
    digest: str
    action: ReleaseAction
    reason: str
    at: float


@dataclass(frozen=True, kw_only=True)
class PolicyVersion:
    """What was put in place of a workload's settings in the file, by whom and why.

    ``version`` counts from 1 within the workload. ``change``: settings by name, None as a value for
    one that is taken away; None as a whole where it went back to the file.
    """

    workload: str
    version: int
    change: Mapping[str, Json] | None
    author: str
    reason: str
    at: float


@dataclass(frozen=True, kw_only=True)
class KeptAlarm:
    """A change that the watch of a workload found. ``kind``, ``trial``, ``strength``: as in
    ``policies.promise.drift.Alarm``; ``ended_at``: when evidence had returned, None until then."""

    workload: str
    kind: Kind
    trial: int
    strength: float
    at: float
    ended_at: float | None


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """One run of the learning loop; ``outcome`` is None while it runs.

    ``answers_seen``: how many trainable answers its workload had when it began.
    """

    id: str
    workload: str
    started_at: float
    ended_at: float | None
    outcome: str | None
    detail: Mapping[str, Json]
    answers_seen: int


def write_ask(ask: Ask) -> dict[str, Any]:
    """An ask as a step of a stored trace; ``rung`` and ``slices`` only where there are several,
    ``verdict_share`` where verdicts are drawn."""
    rung = {} if ask.rung is None else {"rung": ask.rung}
    step: dict[str, Any] = {
        **rung,
        "tier": str(ask.tier),
        "commit": ask.commit,
        "reason": ask.reason,
        "propensity": ask.propensity,
        "background": ask.background,
    }
    if ask.verdict_share is not None:
        step["verdict_share"] = ask.verdict_share
    if ask.slices:
        step["slices"] = [asdict(one) for one in ask.slices]
    return step


def read_slices(trace: Sequence[Mapping[str, Json]]) -> tuple[InSlice, ...]:
    """The slices that a traced interaction belongs to."""
    found: Sequence[Mapping[str, Json]] = next(
        (step["slices"] for step in trace if step.get("slices")), ()
    )
    return tuple(InSlice(**one) for one in found)
