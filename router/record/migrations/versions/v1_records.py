"""The first schema: interactions, attempts, releases, cycles and promise states."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ACTIVE = sa.text("state = 'active'")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    _create_interactions()
    _create_attempts()
    _create_learning()
    op.create_table(
        "promise_state",
        sa.Column("workload", sa.String, primary_key=True),
        sa.Column("terms", sa.String, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("upto_seq", sa.BigInteger, nullable=False),
    )


def _create_interactions() -> None:
    texts = ("workload", "tenant", "key_name")
    flags = ("train_ok", "trainable", "stored", "stream")
    words = ("tier", "model", "reason", "status")
    op.create_table(
        "interactions",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("created_at", sa.Float, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in texts),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in flags),
        *(sa.Column(name, sa.String, nullable=False) for name in words),
        sa.Column("release", sa.String),
        sa.Column("confidence", sa.Float),
        sa.Column("threshold", sa.Float),
        sa.Column("level", sa.Integer),
        sa.Column("propensity", sa.Float, nullable=False),
        sa.Column("floor", sa.Float, nullable=False),
        sa.Column("seen", sa.Boolean, nullable=False),
        sa.Column("agreed", sa.Boolean),
        sa.Column("draft_agreed", sa.Boolean),
        sa.Column("cost_usd", sa.BigInteger),
        sa.Column("teacher_cost_usd", sa.BigInteger),
        sa.Column("teacher_cost_estimated", sa.Boolean, nullable=False),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sa.Column("overhead_ms", sa.Float, nullable=False),
        sa.Column("teacher_model", sa.String),
        sa.Column("teacher_version", sa.String),
        sa.Column("group", sa.String, nullable=False),
        sa.Column("comparer", sa.String, nullable=False),
        sa.Column("settings_digest", sa.String, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("input_text", sa.String, nullable=False),
        sa.Column("answer", sa.JSON),
        sa.Column("teacher_answer", sa.JSON),
        sa.Column("draft", sa.JSON),
        sa.Column("trace", sa.JSON, nullable=False),
        sa.Column("request", sa.JSON),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_interactions_created_at", "interactions", ["created_at"])
    op.create_index("ix_interactions_workload_seq", "interactions", ["workload", "seq"])
    trainable = ["workload", "trainable", "seq"]
    op.create_index("ix_interactions_trainable", "interactions", trainable)


def _create_attempts() -> None:
    of_interaction = sa.ForeignKey("interactions.id", ondelete="CASCADE")
    op.create_table(
        "attempts",
        sa.Column("interaction_id", sa.String, of_interaction, primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tier", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.String),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        sa.Column("cached_tokens", sa.BigInteger),
        sa.Column("cost_usd", sa.BigInteger),
        sa.Column("upstream_model", sa.String),
    )


def _create_learning() -> None:
    op.create_table(
        "releases",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("workload", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("promoted_at", sa.Float),
        sa.Column("report", sa.JSON, nullable=False),
    )
    op.create_index("ix_releases_workload_number", "releases", ["workload", "number"], unique=True)
    op.create_index(
        "ix_releases_active",
        "releases",
        ["workload"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
    op.create_table(
        "release_events",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("workload", sa.String, nullable=False),
        sa.Column("digest", sa.String, sa.ForeignKey("releases.digest"), nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("ix_release_events_workload", "release_events", ["workload"])
    op.create_table(
        "cycles",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("workload", sa.String, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("outcome", sa.String),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("answers_seen", sa.Integer, nullable=False),
    )
    op.create_index("ix_cycles_workload", "cycles", ["workload"])
