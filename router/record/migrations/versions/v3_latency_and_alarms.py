"""The time to the first token, what attempts cost by purpose, the watch's alarms, and how much the
random checks are worth together.

Rollups are counted anew, since they lack a sum; of older interactions the time to the first token
stays unknown, and of older alarms nothing is known.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("interactions", sa.Column("first_token_ms", sa.Float))
    op.execute("DELETE FROM rollups")
    op.execute("DELETE FROM meta WHERE key = 'rolled_up'")
    # SQLite adds no column that must have a value unless it is told one for the rows there are.
    op.add_column(
        "rollups", sa.Column("square_weight", sa.Float, nullable=False, server_default="0")
    )
    op.create_table(
        "spent",
        sa.Column("workload", sa.String, primary_key=True),
        sa.Column("purpose", sa.String, primary_key=True),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("cost_usd", sa.BigInteger),
        sa.Column("unknown", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "alarms",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("workload", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("trial", sa.BigInteger, nullable=False),
        sa.Column("strength", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alarms_at", "alarms", ["at"])
