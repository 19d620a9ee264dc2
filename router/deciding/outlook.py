"""How far a workload's promise is from serving: from its account and the store's recent traffic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from policies.compare import get_comparer
from policies.promise.certificate import About, Certificate, Terms
from policies.promise.ledger import Ledger
from policies.promise.outlook import (
    LEAST_TRIALS,
    Forecast,
    bound_rate,
    forecast,
    is_release_too_wrong,
)
from policies.types import Trial
from router.deciding.judged import COMPARED, ERRS, tell_of_teacher
from router.deciding.kept import Account
from router.meter.money import plain_usd, show_usd, usd
from router.record.history import Asked
from router.record.redact import is_redacted
from router.record.store import Store
from router.release import Release
from router.wire.openai import answer_from_json, is_cascadable, shape_of
from router.wire.profile import profile_of
from router.wire.requests import MAX_INPUT_CHARS
from router.wording import show_about, show_share

Kind = Literal["serving", "not_yet", "unknown", "infeasible"]

_RECENT = 500
_ENOUGH_OF_RELEASE = 100
_FIRST = 2_000
"""The reverse test of a release ends with its trial of this number."""

_AMONG = 10
"""A slice's trials are looked for among this many times as many of its workload."""

_ASKED = 5_000
_SEED = 0
_OF_AN_ANSWER = {"content", "tool_calls", "refusal", "finish_reason"}
_NO_DIFFERENCE = ("model", "messages", "stream", "stream_options", "user", "metadata", "store")
"""Fields that don't change what is asked; the messages are compared by themselves."""


@dataclass(frozen=True, kw_only=True)
class SelfAgreement:
    """How often the teacher said the same twice: of ``questions`` that it was asked at least twice,
    the first two answers of ``alike`` agree. ``at_most``: bound at the promise's confidence."""

    questions: int
    alike: int
    at_most: float


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Where a promise stands, JSON-ready.

    ``cause``: why, in one word for programs; ``sentence``: the same for people. ``checks``: about
    how many more answers of the teacher must be compared with drafts (of a guarantee: how many
    interactions must be answered), with 10 % and 90 % quantiles; None where it can't be told.
    ``cost_usd``: what the teacher takes for them, as a decimal.
    """

    kind: Kind
    cause: str
    sentence: str
    checks: int | None = None
    checks_low: int | None = None
    checks_high: int | None = None
    cost_usd: str | None = None
    self_agreement: SelfAgreement | None = None


@dataclass(frozen=True, kw_only=True)
class _Case:
    """What an outlook is made from; ``slice``: of which it is, None: of the whole workload."""

    store: Store
    workload: str
    release: Release | None
    teacher_cost_usd: Decimal | None
    terms: Terms
    slice: str | None = None

    def latest_trials(self, limit: int, release: str | None = None) -> list[Trial]:
        """The newest; of a slice, those among ten times as many."""
        if self.terms.about == "accuracy":
            return self.store.latest_judged(self.workload, limit, self.terms.within_s, release)
        if self.slice is None:
            return self.store.latest_trials(self.workload, limit, release)
        trials = self.store.latest_trials(self.workload, _AMONG * limit, release)
        return _within(trials, self.slice)[-limit:]

    def first_trials(self, release: str) -> list[Trial]:
        """The first that the release drafted, as many as its reverse test takes."""
        if self.terms.about == "accuracy":
            return self.store.first_judged(self.workload, _FIRST, self.terms.within_s, release)
        limit = _FIRST if self.slice is None else _AMONG * _FIRST
        trials = self.store.first_trials(self.workload, limit, release)
        return (trials if self.slice is None else _within(trials, self.slice))[:_FIRST]


def look_ahead(
    store: Store,
    workload: str,
    account: Account,
    release: Release | None,
    teacher_cost_usd: Decimal | None,
    of_slice: str | None = None,
) -> Outlook:
    """The outlook of a workload, or a slice of it, whose promise is kept by ``account``. Blocks.

    ``release``: the one in force; ``teacher_cost_usd``: of one answer of the teacher, None unknown.
    """
    case = _Case(
        store=store,
        workload=workload,
        release=release,
        teacher_cost_usd=teacher_cost_usd,
        terms=account.terms,
        slice=of_slice,
    )
    if isinstance(account, Ledger):
        return _look_at_ledger(case, account)
    return _look_at_certificate(case, account)


def measure_self_agreement(
    store: Store, workload: str, comparer: str | None, confidence: float
) -> SelfAgreement:
    """From questions that happened to be asked again, of the newest 5,000 answers of the teacher.

    Each counts once, by the first two answers of one model and version to the same request: same
    instructions, options and text, case and space folded. ``comparer``: None for the recorded one.
    """
    questions = alike = 0
    for group in store.asked_again(workload, _ASKED):
        pairs: dict[str, Asked] = {}
        for asked in group:
            key = _key_of(asked)
            if key is None:
                continue
            first = pairs.setdefault(key, asked)
            if first is asked:
                continue
            questions += 1
            alike += _agree(first, asked, comparer or asked.comparer)
            break
    return SelfAgreement(
        questions=questions, alike=alike, at_most=bound_rate(alike, questions, confidence)[1]
    )


def _key_of(asked: Asked) -> str | None:
    """Equal for two equal requests of a text; None where that, or the answer, can't be told."""
    text, body = asked.input_text, asked.request
    if len(text) >= MAX_INPUT_CHARS or is_redacted(text) or not is_cascadable(body):
        return None
    if not asked.teacher_answer.keys() >= _OF_AN_ANSWER:
        return None
    options = {name: value for name, value in body.items() if name not in _NO_DIFFERENCE}
    said = [profile_of(body).prompt, options, asked.teacher_model, asked.teacher_version]
    return json.dumps(said, sort_keys=True)


def _agree(first: Asked, second: Asked, comparer: str) -> bool:
    before, after = answer_from_json(first.teacher_answer), answer_from_json(second.teacher_answer)
    return get_comparer(comparer).agrees(before, after, shape_of(first.request))


def _look_at_ledger(case: _Case, ledger: Ledger) -> Outlook:
    missing = ledger.missing()
    if missing is None:
        return Outlook(
            kind="infeasible",
            cause="guarantee_too_strict",
            sentence=f"Infeasible: at a guarantee of {show_share(case.terms.at_least)} checking"
            " costs more than is ever earned, so nothing could be served;"
            " promise less, or leave guarantee out.",
        )
    if missing == 0:
        if case.release is None:
            return _NO_RELEASE
        return Outlook(
            kind="serving",
            cause="start_earned",
            sentence="The start is earned: drafts are served as far as the ledger can pay.",
        )
    cost = _times(case.teacher_cost_usd, missing)
    words = f"about {show_about(missing)} more interactions"
    outlook = Outlook(
        kind="not_yet",
        cause="start_not_earned",
        sentence=f"Not yet: {words} that the teacher answers{_and_cost(cost)}, until drafts"
        " can be paid for.",
        checks=missing,
        checks_low=missing,
        checks_high=missing,
        cost_usd=None if cost is None else plain_usd(cost),
    )
    return _refuse_wavering(case, outlook)


def _look_at_certificate(case: _Case, certificate: Certificate) -> Outlook:
    level = certificate.level()
    if level is not None:
        return _look_at_next(case, certificate, level)
    if case.release is None:
        return _refuse_wavering(case, _NO_RELEASE)
    first = case.first_trials(case.release.digest)
    record = case.store.release(case.release.digest)
    if is_release_too_wrong(case.terms, first, 1 if record is None else record.number):
        return _refuse_wavering(case, _write_too_wrong(case))
    thresholds = case.release.thresholds(certificate.levels, case.terms.over)
    usable = np.flatnonzero(np.isfinite(thresholds))
    if not len(usable):
        return _refuse_wavering(case, _NO_THRESHOLD)
    recent = _find_recent(case)
    found = forecast(certificate, recent, int(usable[0]), np.random.default_rng(_SEED))
    if found is None:
        return _refuse_wavering(case, _write_unknown(recent, case.terms.about))
    return _refuse_wavering(case, _write_not_yet(case, found))


def _look_at_next(case: _Case, certificate: Certificate, level: int) -> Outlook:
    """Something is being served: how far is the next level?"""
    standing = f"Level {level + 1} of {len(certificate.levels)} is in force"
    if level + 1 == len(certificate.levels):
        return Outlook(kind="serving", cause="last_level", sentence=f"{standing}, the last one.")
    found = None
    recent = _find_recent(case)
    if case.release is not None:
        found = forecast(certificate, recent, level + 1, np.random.default_rng(_SEED))
    if found is None:
        sentence = f"{standing}; when the next follows can't be told yet."
        return Outlook(kind="serving", cause="in_force", sentence=sentence)
    cost = _times(case.teacher_cost_usd, found.checks)
    low, high = _spread(found)
    return Outlook(
        kind="serving",
        cause="in_force",
        sentence=f"{standing}; the next follows after about {_tell_checks(found)}"
        f"{_and_cost(cost)}.",
        checks=found.checks,
        checks_low=low,
        checks_high=high,
        cost_usd=None if cost is None else plain_usd(cost),
    )


def _find_recent(case: _Case) -> list[Trial]:
    """The newest trials of the release in force; of all, while it has few."""
    if case.release is not None:
        own = case.latest_trials(_RECENT, case.release.digest)
        if len(own) >= _ENOUGH_OF_RELEASE:
            return own
    return case.latest_trials(_RECENT)


def _within(trials: Sequence[Trial], name: str) -> list[Trial]:
    """Those of a slice, as evidence for its account."""
    inside = (trial.within(name) for trial in trials)
    return [trial for trial in inside if trial is not None]


def _refuse_wavering(case: _Case, outlook: Outlook) -> Outlook:
    """The same outlook, unless the teacher's agreement with itself is below the promise.

    It is measured over the workload; of a slice alone nothing is known about it. Of a promise on
    accuracy what is measured is how often the teacher is right.
    """
    if case.slice is not None:
        return outlook
    if case.terms.about == "accuracy":
        told, too_seldom = tell_of_teacher(case.latest_trials(_ASKED), case.terms)
        if too_seldom:
            return replace(outlook, kind="infeasible", cause="teacher_errs", sentence=told)
        return replace(outlook, sentence=f"{outlook.sentence} {told}".strip())
    comparer = None if case.release is None else case.release.comparer
    terms = case.terms
    found = measure_self_agreement(case.store, case.workload, comparer, terms.confidence)
    measured = {**vars(outlook), "self_agreement": found if found.questions else None}
    if found.at_most >= terms.at_least:
        return Outlook(**measured)
    sentence = (
        "Infeasible: the teacher agrees with itself on at most"
        f" {show_share(found.at_most)} of repeated questions ({found.alike} of {found.questions}"
        f" answered alike, at {show_share(terms.confidence)} confidence), and"
        f" {show_share(terms.at_least)} are promised; promise less, or make the teacher steadier"
        " (temperature 0)."
    )
    if outlook.kind == "not_yet" and outlook.checks is not None:
        more = outlook.sentence.removeprefix("Not yet: ")
        sentence += f" Where the gate tells such questions from the rest, the rest may do: {more}"
    changed: dict[str, Any] = {
        "kind": "infeasible",
        "cause": "teacher_wavers",
        "sentence": sentence,
    }
    return Outlook(**{**measured, **changed})


_NO_RELEASE = Outlook(
    kind="unknown",
    cause="no_release",
    sentence="Can't be told yet: there is no release, so there are no drafts to compare.",
)
_NO_THRESHOLD = Outlook(
    kind="not_yet",
    cause="no_threshold",
    sentence="Not yet: the release in force expects more errors than allowed even of its surest"
    " drafts, so it would serve nothing whatever is proven; a release that knows more may.",
)


def _write_too_wrong(case: _Case) -> Outlook:
    about = case.terms.about
    return Outlook(
        kind="infeasible",
        cause="release_too_wrong",
        sentence=f"Infeasible with the release in force: even at the strictest level {ERRS[about]}"
        f" more often than the allowed {show_share(case.terms.risk)}, which is proven at"
        f" {show_share(case.terms.confidence)} confidence; promise less, or wait for a release that"
        " knows more.",
    )


def _write_unknown(recent: Sequence[Trial], about: About) -> Outlook:
    if len(recent) < LEAST_TRIALS:
        seen = len(recent) if about == "agreement" else sum(trial.seen for trial in recent)
        return Outlook(
            kind="unknown",
            cause="too_few",
            sentence=f"Can't be told yet: {seen} {COMPARED[about]} so far;"
            f" {LEAST_TRIALS} are needed.",
        )
    return Outlook(
        kind="unknown",
        cause="too_many_errors",
        sentence=f"Can't be told: as the last {len(recent)} drafts came out, the strictest level"
        " would not be proven; a release that knows more may change that.",
    )


def _write_not_yet(case: _Case, found: Forecast) -> Outlook:
    cost = _times(case.teacher_cost_usd, found.checks)
    low, high = _spread(found)
    return Outlook(
        kind="not_yet",
        cause="not_proven",
        sentence=f"Not yet: about {_tell_checks(found)}{_and_cost(cost)}.",
        checks=found.checks,
        checks_low=low,
        checks_high=high,
        cost_usd=None if cost is None else plain_usd(cost),
    )


def _spread(found: Forecast) -> tuple[int, int | None]:
    """The quantiles of the trials, in checks."""
    share = found.checks / found.trials
    high = None if found.high is None else round(found.high * share)
    return round(found.low * share), high


def _tell_checks(found: Forecast) -> str:
    low, high = _spread(found)
    end = (
        f"{show_about(low)} to {show_about(high)}"
        if high is not None
        else f"{show_about(low)} or many more"
    )
    return f"{show_about(found.checks)} more checks (8 in 10 times {end})"


def _times(cost_usd: Decimal | None, count: int) -> Decimal | None:
    return None if cost_usd is None else usd(cost_usd * count)


def _and_cost(cost: Decimal | None) -> str:
    return "" if cost is None else f", about {show_usd(cost)}"
