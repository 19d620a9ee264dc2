"""The sum of a spec's terms on one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from distill.train.losses.buckets import captured_mass, full_buckets, top_k_buckets
from distill.train.losses.divergences import (
    forward_kl,
    generalised_jsd,
    reverse_kl,
    reverse_skew_kl,
    skew_kl,
)
from distill.train.losses.preference import dpo, lipo, plackett_luce, scores
from distill.train.losses.sequence import (
    IGNORED,
    calibration,
    masked_mean,
    token_log_probs,
    token_weights,
)
from distill.train.losses.spec import PREFERENCE_TERMS, SOFT_TERMS, LossSpec, Term

Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class TopK:
    """A teacher's likeliest tokens: ``ids`` and full-softmax ``log_probs``, both (B, T, k)."""

    ids: Tensor
    log_probs: Tensor


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Drafts that the teacher ranked, the best first: all (B, D).

    ``policy``, ``reference``: summed log-probabilities in nats; ``lengths``: tokens; ``grades``:
    the teacher's grades, not rising along D; ``present``: false on padding; ``preference``: (B,),
    the probability that the first is better than the second, where the teacher gave one.
    """

    policy: Tensor
    reference: Tensor
    lengths: Tensor
    grades: Tensor
    present: Tensor
    preference: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The student's own drafts: their mean log-probability and whether they agreed, both (B,)."""

    mean_log_prob: Tensor
    agreed: Tensor


@dataclass(frozen=True, kw_only=True)
class Signals:
    """What a step knows. A term raises ValueError where its part is missing.

    ``logits``: of the student, (B, T, V), aligned with ``labels``, (B, T); ``row_weights``: (B,);
    ``teacher_logits``: (B, T, V); ``incumbent_logits``: of the release in force, (B, T, V), with
    ``replayed``, (B,), true on the rows of old traffic.
    """

    logits: Tensor
    labels: Tensor
    row_weights: Tensor
    confidence: Tensor | None = None
    reasoning: Tensor | None = None
    teacher_logits: Tensor | None = None
    top_k: TopK | None = None
    incumbent_logits: Tensor | None = None
    replayed: Tensor | None = None
    ranked: Ranked | None = None
    judged: Judged | None = None


def total_loss(spec: LossSpec, signals: Signals) -> tuple[Tensor, dict[str, float]]:
    """Σ weight·term, and each term's value before its weight (nats per token, or per list)."""
    total = signals.logits.new_zeros(())
    parts: dict[str, float] = {}
    for term in spec.terms:
        value = _value(term, signals)
        parts[term.name] = float(value.detach())
        total = total + term.weight * value
    return total, parts


def _value(term: Term, signals: Signals) -> Tensor:
    if term.name in SOFT_TERMS:
        return _soft(term, signals)
    if term.name in PREFERENCE_TERMS:
        return _preference(term, _need(signals.ranked, term, "ranked drafts"))
    return _OTHERS[term.name](term, signals)


def _need(part: Part | None, term: Term, what: str) -> Part:
    if part is None:
        raise ValueError(f"the loss {term.name} needs {what}, and this batch has none")
    return part


def _divergence(term: Term, student: Tensor, teacher: Tensor) -> Tensor:
    options = term.options
    if term.name == "jsd":
        return generalised_jsd(student, teacher, options["beta"])
    if term.name == "skew_kl":
        return skew_kl(student, teacher, options["alpha"])
    if term.name == "reverse_skew_kl":
        return reverse_skew_kl(student, teacher, options["alpha"])
    return (
        forward_kl(student, teacher) if term.name == "forward_kl" else reverse_kl(student, teacher)
    )


def _soft(term: Term, signals: Signals) -> Tensor:
    """Against the teacher's full logits where there are any, else its top-k and tail.

    Tokens of which the top-k caught less than ``min_mass`` get plain likelihood.
    """
    weights = token_weights(signals.labels, signals.row_weights)
    temperature = term.options["temperature"]
    if signals.teacher_logits is not None:
        values = _divergence(
            term,
            full_buckets(signals.logits, temperature),
            full_buckets(signals.teacher_logits, temperature),
        )
        return temperature**2 * masked_mean(values, weights)
    top = _need(signals.top_k, term, "the teacher's logits or top-k log-probabilities")
    if temperature != 1.0:
        raise ValueError(
            f"the loss {term.name} needs temperature 1 with top-k log-probabilities: "
            "how a temperature would change the tail isn't known"
        )
    student, teacher = top_k_buckets(signals.logits, top.ids, top.log_probs)
    trusted = captured_mass(top.log_probs, top.ids) >= term.options["min_mass"]
    plain = -token_log_probs(signals.logits, signals.labels)
    return masked_mean(torch.where(trusted, _divergence(term, student, teacher), plain), weights)


def _nll(term: Term, signals: Signals) -> Tensor:
    exponent = term.options["teacher_confidence"]
    confidence = None
    if exponent > 0:
        confidence = _need(signals.confidence, term, "the teacher's confidence") ** exponent
    weights = token_weights(
        signals.labels,
        signals.row_weights,
        confidence=confidence,
        reasoning=signals.reasoning,
        reasoning_weight=term.options["reasoning_weight"],
    )
    return masked_mean(-token_log_probs(signals.logits, signals.labels), weights)


def _preference(term: Term, ranked: Ranked) -> Tensor:
    """The mean over lists, plus ``anchor`` times the best draft's −log q per token.

    DPO compares the best draft with every other; a stated preference is about the second.
    """
    scored = scores(ranked.policy, ranked.reference, term.options["beta"])
    if term.name == "plackett_luce":
        values = plackett_luce(scored, ranked.present)
    elif term.name == "lipo":
        values = lipo(scored, ranked.grades, ranked.present)
    else:
        pairs = dpo(scored[:, :1], scored[:, 1:], _preferences(ranked))
        present = ranked.present[:, 1:]
        values = pairs.masked_fill(~present, 0.0).sum(-1) / present.sum(-1).clamp(min=1)
    anchor = -(ranked.policy[:, 0] / ranked.lengths[:, 0].clamp(min=1))
    return (values + term.options["anchor"] * anchor).mean()


def _preferences(ranked: Ranked) -> Tensor | None:
    if ranked.preference is None:
        return None
    sure = torch.ones_like(ranked.policy[:, 1:])
    return torch.cat([ranked.preference.unsqueeze(-1).to(sure.dtype), sure[:, 1:]], dim=-1)


def _calibration(term: Term, signals: Signals) -> Tensor:
    judged = _need(signals.judged, term, "judged drafts")
    return calibration(judged.mean_log_prob, judged.agreed, torch.ones_like(judged.mean_log_prob))


def _replay(term: Term, signals: Signals) -> Tensor:
    """KL(incumbent ‖ student) on old traffic: what is served well now must not be forgotten
    (Li and Hoiem 2016, "Learning without Forgetting")."""
    incumbent = _need(signals.incumbent_logits, term, "the incumbent's logits")
    replayed = _need(signals.replayed, term, "which rows are replayed")
    values = forward_kl(full_buckets(signals.logits), full_buckets(incumbent))
    counted = (signals.labels != IGNORED) & replayed.unsqueeze(-1)
    return masked_mean(values, counted.to(values.dtype) * signals.row_weights.unsqueeze(-1))


_OTHERS: dict[str, Callable[[Term, Signals], Tensor]] = {
    "nll": _nll,
    "calibration": _calibration,
    "replay_kl": _replay,
}
