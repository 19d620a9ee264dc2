"""The ledger, one sealed row of money per attempt, which outlives the interaction's content; what
clients say of answers; keys that are kept here; the policies that the admin API put in force; and
what the dashboard counts and searches by.

Attempts that were stored before it are entered with the basis ``legacy``: their costs are taken as
they stand, since the rates that they were computed from were not kept.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.engine import Connection

from router.record.seal import FIRST_SEAL, HEAD, seal_row

revision = "2"
down_revision = "1"

_PAGE = 1000
_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MORE_TOKENS = ("reasoning_tokens", "audio_prompt_tokens", "audio_completion_tokens")
_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", *_MORE_TOKENS)
_JOINED = sa.text(
    "SELECT a.interaction_id, a.n, a.started_at AS at, i.tenant, i.key_name, i.workload, a.tier,"
    " a.model, a.purpose, a.prompt_tokens, a.completion_tokens, a.cached_tokens, a.cost_usd"
    " FROM attempts a JOIN interactions i ON i.id = a.interaction_id"
    " WHERE i.seq > :after AND i.seq <= :upto ORDER BY i.seq, a.n"
)

_COUNT_NONE = sa.text(
    "UPDATE attempts SET reasoning_tokens = 0, audio_prompt_tokens = 0,"
    " audio_completion_tokens = 0 WHERE prompt_tokens IS NOT NULL"
)


def upgrade() -> None:
    for name in _MORE_TOKENS:
        op.add_column("attempts", sa.Column(name, sa.BigInteger))
    basis = sa.Column("basis", sa.String, nullable=False, server_default="legacy")
    op.add_column("attempts", basis)
    op.add_column("attempts", sa.Column("rates", sa.JSON))
    op.add_column("attempts", sa.Column("held_usd", sa.BigInteger))
    words = ("tenant", "key_name", "workload", "tier", "model", "purpose")
    ledger = op.create_table(
        "ledger",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("interaction_id", sa.String, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in words),
        *(sa.Column(name, sa.BigInteger) for name in _TOKENS),
        sa.Column("basis", sa.String, nullable=False),
        sa.Column("rates", sa.JSON(none_as_null=True)),
        sa.Column("cost_usd", sa.BigInteger),
        sa.Column("held_usd", sa.BigInteger),
        sa.Column("detached", sa.Boolean, nullable=False),
        sa.Column("seal", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ledger_at", "ledger", ["at"])
    op.create_index("ix_ledger_attempt", "ledger", ["interaction_id", "n"], unique=True)
    op.create_index("ix_ledger_key", "ledger", ["key_name", "at"])
    spent = ["key_name", "tenant", "workload", "at", "basis", "cost_usd"]
    op.create_index("ix_ledger_spent", "ledger", spent)
    _enter_attempts(op.get_bind(), ledger)
    _create_feedback()
    _create_control()
    _create_search()


def _create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column(
            "interaction_id",
            sa.String,
            sa.ForeignKey("interactions.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("score", sa.Float),
        sa.Column("correction", sa.String),
        sa.Column("label", sa.JSON(none_as_null=True)),
        sa.Column("at", sa.Float, nullable=False),
    )


def _create_control() -> None:
    op.create_table(
        "keys",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("train_on", sa.Boolean, nullable=False),
        sa.Column("budget_usd", sa.BigInteger),
        sa.Column("budget_per", sa.String),
        sa.Column("requests_per_minute", sa.BigInteger),
        sa.Column("tokens_per_minute", sa.BigInteger),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("previous_sha256", sa.String),
        sa.Column("previous_until", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("revoked_at", sa.Float),
    )
    op.create_table(
        "policy_versions",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("workload", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("change", sa.JSON(none_as_null=True)),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_policy_versions", "policy_versions", ["workload", "version"], unique=True)


def _create_search() -> None:
    searched = ("workload", "tier", "reason", "status", "agreed", "draft_agreed", "cost_usd")
    op.create_index("ix_interactions_search", "interactions", ["seq", *searched])
    counts = ("interactions", "by_recall", "by_student", "by_teacher", "errors")
    op.create_table(
        "rollups",
        sa.Column("chunk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("workload", sa.String, primary_key=True),
        *(sa.Column(name, sa.Integer, nullable=False) for name in counts),
        sa.Column("cost_usd", sa.BigInteger),
        sa.Column("priced", sa.Integer, nullable=False),
        sa.Column("teacher_cost_usd", sa.BigInteger),
        sa.Column("teacher_priced", sa.Integer, nullable=False),
        sa.Column("teacher_estimated", sa.Integer, nullable=False),
        sa.Column("compared_cost_usd", sa.BigInteger),
        sa.Column("compared_teacher_cost_usd", sa.BigInteger),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("answered", "served")),
        sa.Column("measured", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("weight", "wrong_weight")),
        *(sa.Column(name, sa.Float) for name in ("first_at", "last_at")),
        sa.Column("stale", sa.Boolean, nullable=False),
    )
    op.create_index("ix_rollups_stale", "rollups", ["stale"])


def _enter_attempts(connection: Connection, ledger: sa.Table) -> None:
    last = connection.execute(sa.text("SELECT max(seq) FROM interactions")).scalar_one() or 0
    seal = FIRST_SEAL
    for after in range(0, last, _PAGE):
        rows = []
        for found in connection.execute(_JOINED, {"after": after, "upto": after + _PAGE}):
            row: dict[str, Any] = dict.fromkeys(_TOKENS) | dict(found._mapping)
            if row["prompt_tokens"] is not None:
                row |= dict.fromkeys(_MORE_TOKENS, 0)
            row |= {"basis": "legacy", "rates": None, "held_usd": None}
            # Sealed as it is read later: money in dollars.
            seal = seal_row(seal, {**row, "cost_usd": _usd(row["cost_usd"])})
            rows.append({**row, "detached": False, "seal": seal})
        if rows:
            connection.execute(ledger.insert(), rows)
    connection.execute(_COUNT_NONE)
    connection.execute(
        sa.text("INSERT INTO meta (key, value) VALUES (:key, :value)"), {"key": HEAD, "value": seal}
    )


def _usd(pico: int | None) -> Decimal | None:
    return None if pico is None else Decimal(pico).scaleb(-12)
