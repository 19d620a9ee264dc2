"""``tutelage distill next --questions``: choosing and asking, as its users run it."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from policies.types import Answer, Tier
from router.record.model import Interaction
from router.testing import FakeUpstream
from router.testing.behaviours import ErrorAnswer
from router.wire.openai import answer_to_json
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import TEACHER, Shop
from tests.unit.router.record.records import make_record

PRICE = {"usd_per_request": 0.01}


def served(name: str, text: str, **changes: Any) -> Interaction:
    """What the student answered alone."""
    said = answer_to_json(Answer(content="parcel"))
    fields: dict[str, Any] = {
        "created_at": time.time(),
        "input_text": text,
        "request": {"model": "auto", "messages": [{"role": "user", "content": text}], "user": "u"},
        "tier": Tier.STUDENT,
        "model": "student",
        "reason": "certified",
        "seen": False,
        "teacher_answer": None,
        "teacher_model": None,
        "answer": said,
        "draft": said,
        "cost_usd": Decimal(0),
        "teacher_cost_usd": None,
        "attempts": (),
    }
    return make_record(name, **{**fields, **changes})


def open_shop(folder: Path, upstream: str = TEACHER["upstream"], **learning: Any) -> Shop:
    teacher = {**TEACHER, "upstream": upstream, "price": PRICE, "retries": 0}
    return Shop(folder=folder, settings={"models": {"teacher": teacher}, "learning": learning})


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shop that learned from 150 answers and then served ten questions that are
    new to it."""
    shop = open_shop(tmp_path_factory.mktemp("learned"))
    messages = make_messages(170, seed=1, hard=0.0)
    shop.answer(messages[:150], created_at=time.time() - 9.0)
    assert shop.run("distill", "run").code == 0
    store = shop.open()
    store.append(
        [
            *(served(f"new-{i}", text) for i, (text, _) in enumerate(messages[150:158])),
            served("tent-0", "does the tent stand up to a storm"),
            served("tent-1", "does the tent keep the rain out"),
            served("again", "Does the tent keep the rain out"),
            served("known", messages[0][0]),
            served("private", "mail me at [email]"),
            served("unasked", "may nobody learn from this", train_ok=False),
        ]
    )
    store.close()
    return shop.folder


def test_what_the_student_knows_least_about_comes_first(learned: Path) -> None:
    shop = open_shop(learned)
    (report,) = json.loads(shop.run("distill", "next", "--questions", "4", "--json").out)[
        "workloads"
    ]
    found = report["targets"]
    assert found["of"] == 10
    assert found["left_out"] == {"answered_since": 1, "duplicate": 1, "redacted": 1}
    assert len(found["chosen"]) == 4
    assert {"tent-0", "again"} & {one["id"] for one in found["chosen"][:2]}
    assert found["calls_usd"] == pytest.approx(4 * 0.000123456789)
    assert found["asked"] is None
    said = shop.run("distill", "next", "--questions", "4").out
    assert "to ask the teacher about: 4 questions of 10 that the student answered alone" in said


def ask(
    learned: Path, folder: Path, *words: str, faults: int = 0, **learning: Any
) -> tuple[Any, Shop, Any]:
    """What the command says, with a teacher that answers once it has failed so often."""
    for file in learned.glob("t.db*"):
        shutil.copy(file, folder)

    upstream = FakeUpstream("warranty")
    upstream.faults.extend([ErrorAnswer(status=500)] * faults)
    with ThreadPoolExecutor(1) as thread:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(upstream.__aenter__())
        thread.submit(loop.run_forever)
        try:
            shop = open_shop(folder, upstream.base_url, **learning)
            said = shop.run("distill", "next", "--questions", "6", "--ask", *words, "--json")
        finally:
            asyncio.run_coroutine_threadsafe(upstream.__aexit__(None, None, None), loop).result()
            loop.call_soon_threadsafe(loop.stop)
    loop.close()
    assert said.code == 0, said
    return json.loads(said.out)["workloads"][0], shop, list(upstream.requests)


def test_answers_are_recorded_billed_and_learned_from(learned: Path, tmp_path: Path) -> None:
    report, shop, requests = ask(learned, tmp_path)
    assert report["targets"]["asked"] == {
        "calls": 6,
        "answers": 6,
        "cost_usd": pytest.approx(0.06),
        "calls_of_unknown_cost": 0,
        "stopped": None,
    }
    assert len(requests) == 6
    assert all("user" not in one.body for one in requests)
    store = shop.open()
    newest = store.latest(6)
    assert {(one.reason, one.level, one.cost_usd, one.train_ok) for one in newest} == {
        ("targeted", None, Decimal("0.01"), True)
    }
    assert {one.input_text for one in newest} == {
        one["text"] for one in report["targets"]["chosen"]
    }
    assert store.verify_ledger().agrees
    store.close()
    # They are known now: none of them is chosen again, and a cycle learns from them.
    (after,) = json.loads(shop.run("distill", "next", "--questions", "6", "--json").out)[
        "workloads"
    ]
    assert after["targets"]["of"] == 4
    assert shop.run("distill", "run").code == 0


@pytest.mark.parametrize(
    ("words", "calls"), [((), 2), (("--usd", "0.035"), 3)], ids=["configured", "given"]
)
def test_a_bound_on_money_is_kept(
    learned: Path, tmp_path: Path, words: tuple[str, ...], calls: int
) -> None:
    report, _, requests = ask(learned, tmp_path, *words, max_usd_per_cycle=0.025)
    # What answers cost so far would leave room for all; the price says a cent each.
    assert len(requests) == calls
    assert report["targets"]["asked"]["cost_usd"] == pytest.approx(calls * 0.01)
    assert "has no room for another call" in report["targets"]["asked"]["stopped"]


def test_a_teacher_that_fails_is_left_alone(learned: Path, tmp_path: Path) -> None:
    report, shop, requests = ask(learned, tmp_path, faults=9)
    assert len(requests) == 4
    assert report["targets"]["asked"]["answers"] == 0
    assert "gave no answer any more" in report["targets"]["asked"]["stopped"]
    store = shop.open()
    assert {(one.status, one.teacher_answer) for one in store.latest(4)} == {("error", None)}
    store.close()


def test_asking_needs_a_number(tmp_path: Path) -> None:
    said = Shop(folder=tmp_path).run("distill", "next", "--ask")
    assert (said.code, "need --questions N" in said.err) == (2, True)
