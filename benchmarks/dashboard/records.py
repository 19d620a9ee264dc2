"""A store of made-up interactions, as a gateway with five workloads would have written it."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from policies.types import Tier
from router.meter.prices import Usage
from router.record.model import Attempt, Interaction, Purpose
from router.record.store import Store

WORKLOADS: Final = (
    ("support-intent", 0.50),
    ("order-extract", 0.25),
    ("moderation", 0.15),
    ("search-rewrite", 0.095),
    ("contract-review", 0.005),
)
_BATCH: Final = 5_000
_SPACING_S: Final = 2.0
_TEACHER_USD: Final = Decimal("0.00042")
_TEXT: Final = "Where is my parcel number {n}? It was to come on Monday and nobody answers. " * 3


def fill(url: str, count: int, seed: int = 0) -> None:
    """Write ``count`` interactions, and a release of the first workload in force."""
    store = Store.open(url)
    store.add_release(digest="f" * 64, workload=WORKLOADS[0][0], path="/nowhere")
    store.set_active(WORKLOADS[0][0], "f" * 64, "made up")
    chance = random.Random(seed)
    began = time.time() - _SPACING_S * count
    for start in range(0, count, _BATCH):
        upto = min(start + _BATCH, count)
        store.append([_make(n, n / count, began, chance) for n in range(start, upto)])
    store.close()


def _make(n: int, progress: float, began: float, chance: random.Random) -> Interaction:
    names, weights = zip(*WORKLOADS, strict=True)
    workload = chance.choices(names, weights)[0]
    served = workload != "contract-review" and chance.random() < 0.75 * progress
    wrong = chance.random() < 0.03
    usual: dict[str, Any] = {
        "id": f"int_{n:032x}",
        "created_at": began + _SPACING_S * n,
        "workload": workload,
        "input_text": _TEXT.format(n=n),
        "request": {"model": "auto", "messages": [{"role": "user", "content": _TEXT}]},
        "answer": {"content": "tracking"},
        "confidence": chance.random() * (0.5 if not served else 0.2) + (0.8 if served else 0.3),
        "threshold": 0.8,
        "release": "f" * 64,
        "teacher_cost_usd": _TEACHER_USD * chance.randint(1, 40),
        "draft_agreed": None if served else not wrong,
        "evidence": {"confidence": 0.9, "margin": 0.5, "entropy": 0.1, "nearest": 0.7},
        "trace": ({"tier": "teacher", "commit": True, "reason": "x", "propensity": 1.0},),
    }
    made = _serve(chance, wrong) if served else _ask(chance, usual["teacher_cost_usd"])
    record = Interaction(**_CONSTANT, **(usual | made))
    return _with_attempt(record)


_CONSTANT: Final[dict[str, Any]] = {
    "tenant": "shop",
    "key_name": "shop",
    "train_ok": True,
    "stored": True,
    "group": "g",
    "comparer": "label",
    "overhead_ms": 1.2,
    "teacher_model": "teacher",
    "settings_digest": "d" * 64,
}


def _serve(chance: random.Random, wrong: bool) -> dict[str, Any]:
    audited = chance.random() < 0.05
    cost = _TEACHER_USD if audited else Decimal(0)
    return {
        "tier": Tier.RECALL if chance.random() < 0.1 else Tier.STUDENT,
        "model": "student",
        "reason": "above_threshold",
        "status": "ok",
        "cost_usd": cost,
        "teacher_cost_estimated": not audited,
        "propensity": 0.05,
        "floor": 0.05,
        "seen": audited,
        "agreed": not wrong if audited else None,
        "draft_agreed": not wrong if audited else None,
        "latency_ms": 4.0 + 6.0 * chance.random(),
        "stream": False,
    }


def _ask(chance: random.Random, cost: Decimal) -> dict[str, Any]:
    failed = chance.random() < 0.002
    return {
        "tier": Tier.TEACHER,
        "model": "teacher",
        "reason": "below_threshold" if chance.random() < 0.97 else "not_cascadable",
        "status": "error" if failed else "ok",
        "cost_usd": None if failed else cost,
        "teacher_cost_usd": None if failed else cost,
        "teacher_answer": None if failed else {"content": "tracking"},
        "seen": not failed,
        "agreed": None if failed else True,
        "latency_ms": 300.0 + 900.0 * chance.random(),
        "stream": True,
        "first_token_ms": None if failed else 80.0 + 200.0 * chance.random(),
    }


def _with_attempt(record: Interaction) -> Interaction:
    purpose: Purpose = "answer"
    if record.tier is not Tier.TEACHER:
        purpose = "audit" if record.seen else "draft"
    attempt = Attempt(
        interaction_id=record.id,
        n=0,
        tier=record.tier,
        model=record.model,
        purpose=purpose,
        started_at=record.created_at,
        latency_ms=record.latency_ms,
        status=200,
        usage=Usage(prompt_tokens=90, completion_tokens=3),
        cost_usd=record.cost_usd,
        basis="unknown" if record.cost_usd is None else "answer",
    )
    return replace(record, attempts=(attempt,))
