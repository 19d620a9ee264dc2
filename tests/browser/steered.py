"""A gateway with a real release and a log of what it drafted: enough for a frontier."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from policies.types import Tier
from router.record.model import Attempt, Interaction
from router.record.store import Store
from tests.browser.seeded import HOSTILE
from tests.integration.gateway.test_student import LOGIN, PARCEL, promote, workload
from tests.unit.router.record.records import make_record

ASKED_USD = Decimal("0.00042")
THRESHOLD = 0.99
COUNT = 600
STRICT = workload(policy="threshold", threshold=THRESHOLD, audit={"max_share": 0.2})


def seed_log(folder: Path, *, key_name: str = "", tenant: str = "") -> str:
    """Promote two releases of ``shop``, log what the newer drafted and two cycles; its digest."""
    promote(folder, answers=["login", "parcel"])
    promote(folder)
    store = Store.open(f"sqlite:///{folder}/t.db")
    digest = store.active_releases()["shop"]
    owner = {"key_name": key_name, "tenant": tenant}
    store.append([_make(n, digest, owner) for n in range(COUNT)])
    _add_cycles(store)
    store.close()
    return digest


def _make(n: int, digest: str, owner: dict[str, str]) -> Interaction:
    chance = random.Random(n)
    confidence = round(1.0 - 0.6 * chance.random() ** 2, 5)
    wrong = chance.random() < 0.7 * (1.0 - confidence)
    served = confidence >= THRESHOLD and chance.random() < 0.8
    seen = not served or chance.random() < 0.2
    texts = [*PARCEL, *LOGIN]
    right = "parcel" if n % len(texts) < len(PARCEL) else "login"
    other = "login" if right == "parcel" else "parcel"
    draft = {"content": other if wrong else right}
    values: dict[str, Any] = {
        "created_at": time.time() - 60.0 * (COUNT - n),
        "workload": "shop",
        "input_text": texts[n % len(texts)],
        "request": {"model": "auto", "messages": [{"role": "user", "content": texts[n % 8]}]},
        "release": digest,
        "confidence": confidence,
        "evidence": {"confidence": confidence, "margin": confidence - 0.1, "nearest": 0.83},
        "threshold": THRESHOLD,
        "draft": draft,
        "draft_agreed": not wrong if seen else None,
        "propensity": 0.2 if confidence >= THRESHOLD else 1.0,
        "floor": 0.2,
        "tier": Tier.STUDENT if served else Tier.TEACHER,
        "reason": "above_threshold" if served else "below_threshold",
        "answer": draft if served else {"content": right},
        "teacher_answer": {"content": right} if seen else None,
        "seen": seen,
        "agreed": (not wrong if seen else None) if served else True,
        "cost_usd": ASKED_USD if seen else Decimal(0),
        "teacher_cost_usd": ASKED_USD,
        "latency_ms": 6.2 if served else 480.0,
        "trace": tuple(_trace(served, seen)),
        "attempts": _attempts(n, served, seen),
        **owner,
    }
    return make_record(f"int_{n:04d}", **values)


def _trace(served: bool, seen: bool) -> Iterator[dict[str, Any]]:
    usual = {"propensity": 1.0, "background": False}
    yield {"tier": "student", "commit": False, "reason": "draft", **usual}
    tier, reason = ("student", "above_threshold") if served else ("teacher", "below_threshold")
    yield {"tier": tier, "commit": True, "reason": reason, **usual}
    if served and seen:
        step = {"commit": False, "reason": "audit", "propensity": 0.2, "background": True}
        yield {"tier": "teacher", **step}


def _attempts(n: int, served: bool, seen: bool) -> tuple[Attempt, ...]:
    (usual,) = make_record(f"int_{n:04d}", cost_usd=ASKED_USD).attempts
    if not seen:
        return ()
    values = vars(usual) | {"purpose": "audit" if served else "answer", "cost_usd": ASKED_USD}
    return (Attempt(**(values | {"started_at": time.time() - 60.0 * (COUNT - n)})),)


def _add_cycles(store: Store) -> None:
    dataset = {
        **{"digest": "d4" * 32, "comparer": "label", "rows": 412, "questions": 371, "answers": 2},
        **{"coverage": 0.994, "dropped": {"duplicate": 33, "not_allowed": 8}},
    }
    passed = {
        **{"name": "agreement", "verdict": "passed", "questions": 212, "difference": 0.031},
        **{"low": 0.004, "high": 0.058, "sentence": "It agrees more often on held-out drafts."},
    }
    failed = passed | {
        **{"verdict": "failed", "difference": -0.041, "low": -0.071, "high": -0.011},
        "sentence": "It agrees less often than the release in force.",
    }
    for outcome, rung in (("promoted", passed), ("rejected", failed)):
        cycle = store.begin_cycle("shop", 412)
        assert cycle is not None
        sentence = f"shop: {rung['sentence']}"
        detail = {"dataset": dataset, "rungs": [rung], "sentence": sentence, **_learned(outcome)}
        store.end_cycle(cycle, outcome, detail)
    running = store.begin_cycle("shop", 480)
    assert running is not None
    store.note_cycle(running, {"progress": {**PROGRESS, "began_at": time.time()}})


PROGRESS: dict[str, Any] = {"step": 2, "steps": 5, "name": "encoding", "done": 256, "total": 480}
CURVE = [
    {"questions": 92, "agreement": 0.804, "low": 0.71, "high": 0.873},
    {"questions": 185, "agreement": 0.865, "low": 0.808, "high": 0.907},
    {"questions": 371, "agreement": 0.903, "low": 0.869, "high": 0.929},
]


def _learned(outcome: str) -> dict[str, Any]:
    """Of the second cycle: its curve, a place where its student fails and one that was erased."""
    if outcome == "promoted":
        return {"curve": [CURVE[1]], "clusters": []}
    place = {
        **{"teacher": "parcel", "draft": "login", "confusion_share": 0.75, "questions": 12},
        **{"interactions": 31.5, "share": 0.0425, "precision": 0.5},
    }
    return {
        "curve": CURVE,
        "clusters": [
            {**place, "examples": ["int_0590", "int_gone"]},
            {**place, "teacher": HOSTILE, "questions": 1, "examples": ["int_gone"]},
        ],
        **{"gate": "logistic", "losses": {"raw confidence": 0.31, "logistic": 0.27}},
        "steps": [{"name": "reading", "seconds": 0.2}, {"name": "training", "seconds": 61.4}],
    }
