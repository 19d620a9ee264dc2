"""The configuration as the program sees it: every key with its type and its default.

What can't be in force in this version isn't part of these types; ``check.py`` says so where a
file asks for it. Nothing here holds a secret: only names of environment variables.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from router.meter.catalogue import find_rates
from router.settings.keys import AdminSettings, BudgetSettings, KeySettings, Usd
from router.settings.ladder import LadderSettings
from router.settings.launcher import LauncherSettings, read_launcher
from router.settings.recall import RecallSettings, read_recall
from router.settings.slices import SliceSettings
from router.settings.storage import CoordinationSettings, StoreSettings
from router.settings.telemetry import TelemetrySettings
from router.settings.train import TrainSettings, read_train
from router.settings.values import (
    AboveHalf,
    Count,
    Duration,
    Section,
    Text,
    WorkloadName,
    refuse_bool,
)
from router.settings.verdicts import VerdictSettings

BUILT_IN_POLICIES = ("promise", "budget", "threshold", "teacher", "student")
POLICIES_OVER_RUNGS = ("promise", "threshold")
Distillation = Literal["allowed", "denied", "unknown"]

STUDENT_KEY = "student"
"""The key of the model that drafts; it is there without being configured."""

_MIB = 1024 * 1024


def _check_upstream(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", url):
        raise ValueError("must be a URL such as https://api.example.com/v1")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or a password: put the key in api_key_env")
    if parts.query or parts.fragment:
        raise ValueError("must end with its path, such as /v1, without ? or #")
    return url.rstrip("/")


Seconds = Annotated[float, BeforeValidator(refuse_bool), Field(gt=0, le=86_400)]
Share = Annotated[float, BeforeValidator(refuse_bool), Field(ge=0, le=1)]
PositiveShare = Annotated[float, BeforeValidator(refuse_bool), Field(gt=0, le=1)]
PositiveUsd = Annotated[
    Decimal, BeforeValidator(refuse_bool), Field(gt=0, le=1_000_000, allow_inf_nan=False)
]
UpstreamUrl = Annotated[str, AfterValidator(_check_upstream)]


class ServerSettings(Section):
    """Where the gateway listens; port 0 lets the system choose one.

    ``workers``: processes behind the address. ``max_in_flight``: requests that a worker answers at
    once; ``max_waiting``: how many more may wait, each for ``max_wait_s`` at most; ``drain_s``:
    seconds that running answers get at the end.
    """

    host: Text = "127.0.0.1"
    port: Annotated[int, BeforeValidator(refuse_bool), Field(ge=0, le=65_535)] = 8080
    workers: Annotated[int, BeforeValidator(refuse_bool), Field(ge=1, le=256)] = 1
    max_body_bytes: Count = 20 * _MIB
    max_in_flight: Count = 1000
    max_waiting: Annotated[int, BeforeValidator(refuse_bool), Field(ge=0)] = 1000
    max_wait_s: Seconds = 10.0
    drain_s: Seconds = 30.0


class Price(Section):
    """USD per million tokens, and USD per request; None where not given."""

    input: Usd | None = None
    cached_input: Usd | None = Field(default_factory=lambda given: given.get("input"))
    output: Usd | None = None
    reasoning: Usd | None = Field(default_factory=lambda given: given.get("output"))
    audio_input: Usd | None = None
    audio_output: Usd | None = None
    usd_per_request: Usd | None = None


class TimeoutSettings(Section):
    """Seconds until connected, until the first byte, and until the end of an answer."""

    connect: Seconds = 2.0
    first_byte: Seconds = 30.0
    total: Seconds = 120.0


class ModelSettings(Section):
    """A model. ``upstream`` and ``model`` are None only where ``kind`` is ``embedded``.

    ``replicas``: further servers with the same student, which may then do without ``upstream``.
    """

    kind: Literal["openai", "embedded"] = "openai"
    upstream: UpstreamUrl | None = None
    model: Text | None = None
    api_key_env: Text | None = None
    aliases: tuple[Text, ...] = ()
    dialect: Literal["openai", "anthropic"] = "openai"
    price: Price | None = None
    timeout_s: TimeoutSettings = TimeoutSettings()
    retries: Annotated[int, BeforeValidator(refuse_bool), Field(ge=0, le=10)] = 2
    fallbacks: tuple[Text, ...] = ()
    hedge_after_s: Seconds | None = None
    replicas: tuple[UpstreamUrl, ...] = ()
    distillation: Distillation = "unknown"


class MatchSettings(Section):
    """Which requests are of a workload; ``*`` also matches those without a system prompt."""

    system_prompt: Text = "*"


def _read_match(value: Any) -> Any:
    return {"system_prompt": value} if isinstance(value, str) else value


class PromiseSettings(Section):
    """At least ``agreement`` of the interactions agree with the teacher, at ``confidence``; or at
    least ``accuracy`` of them are answered right, by ``verdicts``. One of the two is given.

    ``guarantee``: whatever the traffic does, at a higher price; it counts over all interactions.
    """

    agreement: AboveHalf | None = None
    accuracy: AboveHalf | None = None
    confidence: AboveHalf = 0.95
    over: Literal["all", "served"] = "all"
    guarantee: bool = False
    verdicts: VerdictSettings | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> PromiseSettings:
        if (self.agreement is None) == (self.accuracy is None):
            raise ValueError("must have agreement or accuracy, and not both")
        if self.accuracy is None and self.verdicts is not None:
            raise ValueError("has verdicts, which are for accuracy alone: remove them")
        if self.accuracy is not None and (self.over != "all" or self.guarantee):
            raise ValueError(
                "is about accuracy, which has no guarantee and counts over all interactions:"
                " remove over and guarantee"
            )
        return self

    @property
    def effective_verdicts(self) -> VerdictSettings:
        """How verdicts are drawn where accuracy is promised."""
        return self.verdicts or VerdictSettings()

    @property
    def at_least(self) -> float:
        """The promised share, of agreement or accuracy."""
        return (self.agreement if self.accuracy is None else self.accuracy) or 0.0


class AuditSettings(Section):
    """How much is asked at random.

    ``max_share``: of what the student serves under the policies threshold and student, checked
    in the background. ``proof_share``: of what could be served under a promise, answered by the
    teacher instead and awaited; None lets it fall from 0.2 to 0.05 as the level in force grows
    laxer, and it is never 0, since without it nothing can be proven. ``repeats``: so many questions
    are asked twice under a promise, to measure the teacher's agreement with itself.
    """

    max_share: Share = 0.05
    proof_share: PositiveShare | None = None
    repeats: Annotated[int, BeforeValidator(refuse_bool), Field(ge=0, le=1_000)] = 0


class WorkloadBudget(Section):
    """What the teacher may cost: on average over a workload's interactions, or a day. One of the
    two is given."""

    usd_per_interaction: PositiveUsd | None = None
    usd_per_day: PositiveUsd | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> WorkloadBudget:
        if (self.usd_per_interaction is None) == (self.usd_per_day is None):
            raise ValueError("must have usd_per_interaction or usd_per_day, and not both")
        return self


class WorkloadSettings(Section):
    """A kind of request and how it is served.

    ``policy``: one of ``BUILT_IN_POLICIES``, or the name of a plug-in (see
    ``router.deciding.plugins``), which ``options`` are for. ``rungs``: keys of further models that
    draft between the student and the teacher. ``pool``: workloads that name the same one share the
    evidence for their promise.
    """

    name: WorkloadName
    match: Annotated[MatchSettings, BeforeValidator(_read_match)] = MatchSettings()
    compare: Literal["label", "json", "tool_calls", "number", "solution", "text"] | None = None
    policy: Text | None = None
    options: Mapping[Text, Any] = Field(default_factory=dict)
    promise: PromiseSettings | None = None
    slices: Annotated[tuple[SliceSettings, ...], Field(max_length=20)] = ()
    pool: WorkloadName | None = None
    budget: WorkloadBudget | None = None
    threshold: Share | None = None
    audit: AuditSettings = AuditSettings()
    recall: Annotated[RecallSettings | None, BeforeValidator(read_recall)] = None
    rungs: Annotated[tuple[Text, ...], Field(max_length=4)] = ()
    on_teacher_failure: Literal["error", "draft"] = "error"

    @property
    def effective_policy(self) -> str:
        """The policy in force: ``promise`` where one is given, else ``teacher``.

        A promise outranks a budget, also where the policy names the budget.
        """
        if self.promise is not None and self.policy in (None, "budget"):
            return "promise"
        return self.policy or "teacher"

    @property
    def effective_recall(self) -> RecallSettings | None:
        """How answers are recalled, None where they aren't: unless told, only under a promise,
        which covers what is recalled like any other draft; never where the teacher answers all."""
        if self.effective_policy == "teacher":
            return None
        if self.recall is not None:
            return self.recall if self.recall.enabled else None
        return RecallSettings() if self.effective_policy == "promise" else None

    @property
    def effective_rungs(self) -> tuple[str, ...]:
        """The further models that draft: only under policies that judge each draft."""
        return self.rungs if self.effective_policy in POLICIES_OVER_RUNGS else ()


class LearningSettings(Section):
    """When a cycle of learning starts.

    ``every``: seconds between two cycles at least; ``min_new_answers``: None lets the number grow
    with what is known already. ``on_drift``: also at an alarm of the watch, and answers from before
    a change of what the teacher says are trusted less. ``max_usd_per_cycle``: that asking the
    teacher to learn from it may cost at a time. ``ladder``: how a candidate is tried.
    ``launcher``: where students are trained. ``train``: how one that writes is; None leaves that to
    a command, and a cycle learns the gate alone.
    ``usd_per_core_hour``: what an hour of a processor's core costs that a cycle trains on; None
    leaves training out of all sums.
    """

    every: Duration = 0.0
    min_new_answers: Count | None = None
    on_drift: bool = True
    max_usd_per_cycle: Usd | None = None
    usd_per_core_hour: PositiveUsd | None = None
    ladder: LadderSettings = LadderSettings()
    launcher: Annotated[LauncherSettings, BeforeValidator(read_launcher)] = LauncherSettings()
    train: Annotated[TrainSettings, BeforeValidator(read_train)] | None = None


class DataSettings(Section):
    retention_days: Count = 90
    redact: tuple[Literal["email", "phone", "card", "iban", "secret"], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ResolvedModel:
    """What the ``model`` of a request means. ``key``: the model concerned: the teacher of the
    policy for ``auto`` and ``alias``, the one that answers for ``pin``."""

    kind: Literal["auto", "alias", "pin"]
    key: str


class Settings(Section):
    """A whole configuration, all of it valid."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    coordination: CoordinationSettings = CoordinationSettings()
    models: Mapping[Text, ModelSettings] = Field(default_factory=dict)
    workloads: tuple[WorkloadSettings, ...] = ()
    learning: LearningSettings = LearningSettings()
    data: DataSettings = DataSettings()
    keys: tuple[KeySettings, ...] = ()
    budgets: tuple[BudgetSettings, ...] = ()
    admin: AdminSettings | None = None
    telemetry: TelemetrySettings | None = None

    _secrets: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def with_known_prices(self) -> Settings:
        """The same settings, with the catalogue's price for each model that has none."""
        models = dict(self.models)
        for key, model in self.models.items():
            if model.price is None and model.upstream is not None and model.model is not None:
                rates = find_rates(model.model, model.upstream)
                if rates is not None:
                    price = Price.model_validate(rates.to_json())
                    models[key] = model.model_copy(update={"price": price})
        return self.model_copy(update={"models": models})

    def with_secrets(self, env: Mapping[str, str]) -> Settings:
        """The same settings, able to look up secrets in a copy of ``env``."""
        copy = self.model_copy()
        copy._secrets = dict(env)
        return copy

    @property
    def env(self) -> Mapping[str, str]:
        """What ``with_secrets`` was given: to examine a variation of the same configuration."""
        return self._secrets

    def secret(self, env_name: str) -> str | None:
        """The value that variable had at load; None where it was unset or empty."""
        return self._secrets.get(env_name) or None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all settings in hexadecimal; it covers names of secrets, no secret, and no
        key that is known by its digest: such come and go."""
        lasting = tuple(key for key in self.keys if key.sha256 is None)
        whole = self.model_copy(update={"keys": lasting}).model_dump(mode="json")
        text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def teacher_key(self) -> str | None:
        """The model called ``teacher``, else the only one with an upstream, else None."""
        return find_teacher(
            key
            for key, model in self.models.items()
            if model.kind == "openai" and key != STUDENT_KEY
        )

    @property
    def teacher(self) -> ModelSettings | None:
        """The model that the policy asks for ``auto``."""
        return None if self.teacher_key is None else self.models[self.teacher_key]

    @property
    def generative_student(self) -> ModelSettings | None:
        """The student, where it is a model behind a server; None where it is embedded."""
        student = self.models.get(STUDENT_KEY)
        return student if student is not None and student.kind == "openai" else None

    def resolve_model(self, name: str) -> ResolvedModel | None:
        """What a request's ``model`` means; None where the answer is 404 ``model_not_found``.

        ``auto`` means nothing without a teacher. ``student`` is there without being configured.
        """
        if name == "auto":
            teacher = self.teacher_key
            return None if teacher is None else ResolvedModel(kind="auto", key=teacher)
        if name in self.models or name == STUDENT_KEY:
            return ResolvedModel(kind="pin", key=name)
        for key, model in self.models.items():
            if name in model.aliases:
                return ResolvedModel(kind="alias", key=key)
        return None


def find_teacher(upstream_keys: Iterable[str]) -> str | None:
    """Which of the models that have an upstream is the teacher."""
    keys = list(upstream_keys)
    if "teacher" in keys:
        return "teacher"
    return keys[0] if len(keys) == 1 else None
