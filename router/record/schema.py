"""The tables. Any change raises ``SCHEMA_VERSION`` and needs a revision in ``migrations``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from router.meter.money import PicoUSD

SCHEMA_VERSION = 3


class SafeText(TypeDecorator[str]):
    """Text from outside: half surrogates and NUL, which databases refuse, become U+FFFD."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else clean_text(value)


def clean_text(text: str) -> str:
    """As ``SafeText`` stores it."""
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\x00", "\ufffd")


# SQLite numbers rows by itself only in a column declared INTEGER.
_Seq = BigInteger().with_variant(Integer(), "sqlite")
_Body = JSON(none_as_null=True)

_ROLLED_COUNTS = ("interactions", "by_recall", "by_student", "by_teacher", "errors")

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

# ``seq`` is the order of commitment and is never used twice, so "after seq" misses nothing even
# when old rows are purged. ``trainable`` is train_ok with a teacher's answer at hand, kept as a
# column for its index. The long columns come last: SQLite then skips their pages when it counts.
interactions = Table(
    "interactions",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=True),
    Column("id", SafeText, nullable=False, unique=True),
    Column("created_at", Float, nullable=False, index=True),
    Column("workload", SafeText, nullable=False),
    Column("tenant", SafeText, nullable=False),
    Column("key_name", SafeText, nullable=False),
    Column("train_ok", Boolean, nullable=False),
    Column("trainable", Boolean, nullable=False),
    Column("stored", Boolean, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("tier", String, nullable=False),
    Column("model", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("status", String, nullable=False),
    Column("release", SafeText),
    Column("confidence", Float),
    Column("threshold", Float),
    Column("level", Integer),
    Column("propensity", Float, nullable=False),
    Column("floor", Float, nullable=False),
    Column("seen", Boolean, nullable=False),
    Column("agreed", Boolean),
    Column("draft_agreed", Boolean),
    Column("cost_usd", PicoUSD),
    Column("teacher_cost_usd", PicoUSD),
    Column("teacher_cost_estimated", Boolean, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("overhead_ms", Float, nullable=False),
    Column("first_token_ms", Float),
    Column("teacher_model", SafeText),
    Column("teacher_version", SafeText),
    Column("group", SafeText, nullable=False),
    Column("comparer", SafeText, nullable=False),
    Column("settings_digest", String, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("input_text", SafeText, nullable=False),
    Column("answer", _Body),
    Column("teacher_answer", _Body),
    Column("draft", _Body),
    Column("trace", JSON, nullable=False),
    Column("request", _Body),
    Index("ix_interactions_workload_seq", "workload", "seq"),
    Index("ix_interactions_trainable", "workload", "trainable", "seq"),
    # All that interactions are searched by, so that none of their pages is read for nothing.
    Index(
        "ix_interactions_search",
        *("seq", "workload", "tier", "reason", "status", "agreed", "draft_agreed", "cost_usd"),
    ),
    sqlite_autoincrement=True,
)

# Sums over the interactions of a chunk of numbers, by workload; ``stale``: some were erased since.
rollups = Table(
    "rollups",
    metadata,
    Column("chunk", BigInteger, primary_key=True, autoincrement=False),
    Column("workload", SafeText, primary_key=True),
    *(Column(name, Integer, nullable=False) for name in _ROLLED_COUNTS),
    Column("cost_usd", PicoUSD),
    Column("priced", Integer, nullable=False),
    Column("teacher_cost_usd", PicoUSD),
    Column("teacher_priced", Integer, nullable=False),
    Column("teacher_estimated", Integer, nullable=False),
    Column("compared_cost_usd", PicoUSD),
    Column("compared_teacher_cost_usd", PicoUSD),
    Column("answered", Integer, nullable=False),
    Column("served", Integer, nullable=False),
    Column("measured", Integer, nullable=False),
    Column("weight", Float, nullable=False),
    Column("square_weight", Float, nullable=False),
    Column("wrong_weight", Float, nullable=False),
    Column("first_at", Float),
    Column("last_at", Float),
    Column("stale", Boolean, nullable=False, index=True),
)

# What attempts cost, by what they were for, summed over the ledger up to ``meta.spent_upto``.
spent = Table(
    "spent",
    metadata,
    Column("workload", SafeText, primary_key=True),
    Column("purpose", String, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("cost_usd", PicoUSD),
    Column("unknown", BigInteger, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column(
        "interaction_id",
        SafeText,
        ForeignKey("interactions.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("tier", String, nullable=False),
    Column("model", SafeText, nullable=False),
    Column("purpose", String, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("status", Integer),
    Column("error", SafeText),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cost_usd", PicoUSD),
    Column("upstream_model", SafeText),
    Column("reasoning_tokens", BigInteger),
    Column("audio_prompt_tokens", BigInteger),
    Column("audio_completion_tokens", BigInteger),
    Column("basis", String, nullable=False, server_default="legacy"),
    Column("rates", _Body),
    Column("held_usd", PicoUSD),
)

# Money outlives content: a row stays when its interaction is purged, and is then ``detached``.
# ``seal`` covers the row and the seal before it, so that none can be changed or taken out unseen.
ledger = Table(
    "ledger",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=True),
    Column("interaction_id", SafeText, nullable=False),
    Column("n", Integer, nullable=False),
    Column("at", Float, nullable=False, index=True),
    Column("tenant", SafeText, nullable=False),
    Column("key_name", SafeText, nullable=False),
    Column("workload", SafeText, nullable=False),
    Column("tier", String, nullable=False),
    Column("model", SafeText, nullable=False),
    Column("purpose", String, nullable=False),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("audio_prompt_tokens", BigInteger),
    Column("audio_completion_tokens", BigInteger),
    Column("basis", String, nullable=False),
    Column("rates", _Body),
    Column("cost_usd", PicoUSD),
    Column("held_usd", PicoUSD),
    Column("detached", Boolean, nullable=False),
    Column("seal", String, nullable=False),
    Index("ix_ledger_attempt", "interaction_id", "n", unique=True),
    Index("ix_ledger_key", "key_name", "at"),
    Index("ix_ledger_spent", "key_name", "tenant", "workload", "at", "basis", "cost_usd"),
    sqlite_autoincrement=True,
)

releases = Table(
    "releases",
    metadata,
    Column("digest", String, primary_key=True),
    Column("workload", SafeText, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("path", SafeText, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("promoted_at", Float),
    Column("report", JSON, nullable=False),
    Index("ix_releases_workload_number", "workload", "number", unique=True),
    Index(
        "ix_releases_active",
        "workload",
        unique=True,
        sqlite_where=text("state = 'active'"),
        postgresql_where=text("state = 'active'"),
    ),
)

release_events = Table(
    "release_events",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=True),
    Column("workload", SafeText, nullable=False, index=True),
    Column("digest", String, ForeignKey("releases.digest"), nullable=False),
    Column("action", String, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("at", Float, nullable=False),
)

cycles = Table(
    "cycles",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("workload", SafeText, nullable=False, index=True),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("outcome", SafeText),
    Column("detail", JSON, nullable=False),
    Column("answers_seen", Integer, nullable=False),
)

feedback = Table(
    "feedback",
    metadata,
    Column(
        "interaction_id",
        SafeText,
        ForeignKey("interactions.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("score", Float),
    Column("correction", SafeText),
    Column("label", _Body),
    Column("at", Float, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("name", SafeText, primary_key=True),
    Column("tenant", SafeText, nullable=False),
    Column("sha256", String, nullable=False),
    Column("train_on", Boolean, nullable=False),
    Column("budget_usd", PicoUSD),
    Column("budget_per", String),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("scopes", JSON, nullable=False),
    Column("previous_sha256", String),
    Column("previous_until", Float),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
)

# What the admin API put in place of a workload's settings in the file; ``change`` is null where it
# went back to the file.
policy_versions = Table(
    "policy_versions",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=True),
    Column("workload", SafeText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("change", _Body),
    Column("author", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("at", Float, nullable=False),
    Index("ix_policy_versions", "workload", "version", unique=True),
    sqlite_autoincrement=True,
)

# Changes that the watch found. ``trial``: counted from 1, the one that raised the alarm;
# ``ended_at``: when the promise was no longer tightened for it.
alarms = Table(
    "alarms",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=True),
    Column("workload", SafeText, nullable=False),
    Column("kind", String, nullable=False),
    Column("trial", BigInteger, nullable=False),
    Column("strength", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("ended_at", Float),
    Index("ix_alarms_at", "at"),
    sqlite_autoincrement=True,
)

promise_state = Table(
    "promise_state",
    metadata,
    Column("workload", SafeText, primary_key=True),
    Column("terms", String, nullable=False),
    Column("state", JSON, nullable=False),
    Column("upto_seq", BigInteger, nullable=False),
)
