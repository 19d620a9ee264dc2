"""A store with some history, and what a reader can count in it by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from policies.promise.certificate import Certificate, Terms
from policies.types import Tier, Trial
from router.record.model import Interaction, KeptAlarm, PromiseState
from router.record.store import Store
from tests.unit.router.record.records import make_record

HOSTILE = '"><img src=x onerror="document.title=1"><script>document.title=2</script>'
ASKED_USD = Decimal("0.00006")
MESSAGES = (
    "Where is my parcel? It should have come on Monday and nobody at the shop answers the phone.",
    "I want my money back",
    "Which e-bike fits somebody of 1.62 m?",
    "The invoice shows the wrong address",
)
TERMS = Terms(agreement=0.95)
START = time.time() // 86_400 * 86_400 - 86_400
"""Yesterday at midnight: what is older than ``data.retention_days`` would be gone."""


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def make_history() -> list[Interaction]:
    """150 rows observed, then 450 of which ever more are served; 40 of a hostile client, among
    them a failed one, shortly before the end."""
    rows = [*_observed(150), *_served(150, 590)]
    for n in range(39):
        name, at = f"int_hostile{n}", 5900.0 + n
        rows.append(_asked(name, at, workload=HOSTILE, input_text=HOSTILE, reason=HOSTILE))
    failed: dict[str, Any] = {"status": "error", "answer": None, "teacher_answer": None}
    unknown = dict.fromkeys(("agreed", "cost_usd", "teacher_cost_usd"))
    rows.append(_asked("int_failed", 5950.0, workload=HOSTILE, **failed, **unknown))
    return [*rows, *_served(596, 606)]


def _observed(count: int) -> Iterator[Interaction]:
    for n in range(count):
        yield _asked(f"int_{n}", 10.0 * n, draft_agreed=n % 4 != 0, confidence=0.61)


def _served(first: int, last: int) -> Iterator[Interaction]:
    for n in range(first, last):
        # Every tenth is fit to be served, and answered by the teacher by chance all the same.
        confidence = 0.97 if n % 10 == 0 else 0.78 + n * 7 % 100 / 500 + n / 20_000
        gate: dict[str, Any] = {"threshold": 0.92 - n / 20_000, "confidence": confidence}
        name, at = f"int_{n}", 10.0 * n
        text = MESSAGES[n % len(MESSAGES)]
        if n % 10 == 0:
            chance = {"propensity": 0.1, "floor": 0.1}
            agreed = n % 150 != 0
            yield _asked(
                name, at, reason="proof", input_text=text, draft_agreed=agreed, **chance, **gate
            )
        elif gate["confidence"] < gate["threshold"]:
            below = {"reason": "below_threshold", "draft_agreed": n % 2 == 0}
            yield _asked(name, at, input_text=text, latency_ms=412.0 + n % 90, **below, **gate)
        else:
            yield _asked(
                name,
                at,
                tier=Tier.STUDENT,
                input_text=text,
                reason="certified",
                teacher_answer=None,
                seen=False,
                agreed=None,
                cost_usd=Decimal(0),
                teacher_cost_estimated=True,
                propensity=0.9,
                latency_ms=6.4,
                stream=False,
                first_token_ms=None,
                **gate,
            )


def _asked(name: str, at: float, **changes: Any) -> Interaction:
    usual: dict[str, Any] = {
        "created_at": START + at,
        "workload": "shop",
        "cost_usd": ASKED_USD,
        "teacher_cost_usd": ASKED_USD,
        "agreed": True,
        "stream": True,
        "first_token_ms": 131.0 if at < 3000 else 163.0,
        "attempts": (),
    }
    return make_record(name, **(usual | changes))


def make_certificate() -> Certificate:
    """One that has come to serve: 400 right drafts, then wrong ones at lax levels only."""
    certificate = Certificate(TERMS)
    for n in range(400):
        wrong = n % 12 == 0
        level = 14 if wrong else n % 14
        certificate.observe(Trial(level=level, seen=True, wrong=wrong, propensity=1.0, floor=1.0))
    return certificate


def seed(url: str) -> None:
    """Write the history, three releases of ``shop`` and three cycles."""
    clock = Clock()
    store = Store.open(url, clock)
    state = PromiseState(terms=TERMS.key, state=make_certificate().state())
    store.append(make_history(), {"shop": state})
    for kind, trial, over in (("novelty", 212, START + 2200.0), ("agreement", 344, None)):
        found: dict[str, Any] = {"kind": kind, "trial": trial, "strength": 1.2}
        raised = KeptAlarm(workload="shop", at=START + 10.0 * trial, ended_at=over, **found)
        assert store.add_alarm(raised)
    for number, digest in enumerate(("a1b2c3d4e5f60718", "b2c3d4e5f6071829", HOSTILE), start=1):
        clock.now = START + 1400.0 * number
        cycle = store.begin_cycle("shop", 130 * number)
        assert cycle is not None
        store.add_release(digest=digest, workload="shop", path="/nowhere")
        clock.now += 12.5
        if number == 3:
            store.reject_release(digest, HOSTILE)
            store.end_cycle(cycle, "rejected", {"sentence": HOSTILE})
            continue
        store.set_active("shop", digest, f"agrees more often than release {number - 1}")
        store.end_cycle(cycle, "promoted", {"sentence": f"shop: {130 * number} answers."})
    store.close()
