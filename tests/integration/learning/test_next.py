"""``tutelage distill next`` as its users run it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from policies.types import Answer, Tier
from router.record.model import Interaction, PromiseState
from router.wire.openai import answer_to_json
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Shop
from tests.unit.router.record.records import make_record

DAY_S = 86_400.0
NOW = time.time()
THINGS = ("bike", "lamp", "phone", "kettle", "chair", "tent", "watch", "drill", "radio", "coat")


def drafted(
    name: str, text: str, teacher: str, draft: str, release: str, **changes: Any
) -> Interaction:
    """An interaction that the release drafted and the teacher answered."""
    said, guess = answer_to_json(Answer(content=teacher)), answer_to_json(Answer(content=draft))
    fields: dict[str, Any] = {
        "created_at": NOW,
        "input_text": text,
        "answer": said,
        "teacher_answer": said,
        "draft": guess,
        "draft_agreed": teacher == draft,
        "release": release,
    }
    return make_record(name, **{**fields, **changes})


def spare(shop: Shop, release: str, count: int, spared: int, at: float) -> None:
    """Of ``count`` interactions of a release, ``spared`` are answered by the student alone."""
    student = {"tier": Tier.STUDENT, "seen": False, "teacher_answer": None, "draft_agreed": None}
    store = shop.open()
    store.append(
        [
            drafted(
                f"{release[:6]}-{i}",
                f"where is parcel {i}, it is about a {THINGS[i % 10]}",
                "parcel",
                "parcel",
                release,
                created_at=at,
                **(student if i < spared else {}),
            )
            for i in range(count)
        ]
    )
    store.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """One that learned twice, whose second release spares more and fails at two things."""
    made = Shop(folder=tmp_path_factory.mktemp("shop"), settings={"data": {"redact": ["email"]}})
    releases = []
    for part, at in ((0, 4 * DAY_S), (1, 3 * DAY_S)):
        messages = make_messages(260, seed=1)[110 * part : 110 + 150 * part]
        made.answer(messages, f"part-{part}", created_at=NOW - at)
        assert made.run("distill", "run").code == 0
        store = made.open()
        releases.append(store.active_releases()["support"])
        store.close()
        spare(made, releases[-1], 200, (40, 160)[part], NOW - at)
    store = made.open()
    for i in range(12):
        text = f"the tyres of my {THINGS[i % 10]} number {i} lost their air, mail a@b.example"
        store.append([drafted(f"air-{i}", text, "warranty", "parcel", releases[-1])])
    for i in range(6):
        text = f"pay by credit card in instalments for the {THINGS[i]} at checkout"
        again = {"propensity": 0.1, "tier": Tier.STUDENT, "reason": "served"}
        store.append([drafted(f"pay-{i}", text, "refund", "opening hours", releases[-1], **again)])
    store.close()
    return made


def test_what_fails_is_told_by_its_weight(shop: Shop) -> None:
    said = json.loads(shop.run("distill", "next", "--json").out)
    (report,) = said["workloads"]
    paying, tyres = report["clusters"]
    assert (paying["teacher"], paying["draft"]) == ("refund", "opening hours")
    assert (tyres["teacher"], tyres["draft"]) == ("warranty", "parcel")
    assert (paying["questions"], tyres["questions"]) == (6, 12)
    # 6 checks with propensity .1, 12 escalations, 40 answers that went well.
    assert paying["share"] == pytest.approx(60 / 112)
    assert tyres["share"] == pytest.approx(12 / 112)
    assert report["wrong"] == pytest.approx(72 / 112)
    assert tyres["name"] == "warranty ← parcel (number, their, tyres)"
    assert (tyres["calls"], tyres["calls_at_random"]) == (8, 75)
    assert all(example.endswith("air, mail [email]") for example in tyres["examples"])


def test_whether_a_cycle_pays_is_told_from_the_releases(shop: Shop) -> None:
    words = ("distill", "next", "--workload", "support")
    (report,) = json.loads(shop.run(*words, "--json").out)["workloads"]
    found = report["next_cycle"]
    assert [one["spared"] for one in found["releases"]] == [0.2, pytest.approx(160 / 218)]
    assert found["cycles"] == 1
    # A cycle took two thirds of what was left, .8 to .27; so will the next one, of .27.
    assert found["gain"]["expected"] == pytest.approx(0.1775, abs=0.005)
    assert found["pays"] == "yes"
    # 678 interactions in four days.
    assert found["per_day"] == pytest.approx(678 / 4, rel=1e-3)
    dear = shop.run(*words, "--cycle-usd", "1000").out
    assert "next cycle pays: no. Even a student that spared every answer" in dear


def test_in_words(shop: Shop) -> None:
    said = shop.run("distill", "next", "--answers", "15")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("support: drafts disagree with the teacher on 64.3% of all traffic")
    assert "  1. refund ← opening hours (" in said.out
    assert "15 such answers take about 9 targeted calls of the teacher" in said.out
    assert "release 1: 20.0% answered without the teacher" in said.out


def test_before_anything_was_drafted(tmp_path: Path) -> None:
    shop = Shop(folder=tmp_path)
    shop.answer(make_messages(5, seed=1))
    said = shop.run("distill", "next").out
    assert "support: no draft was compared with the teacher's answer yet" in said
    assert "next cycle pays: unknown. Unknown is how many interactions a day" in said
    refusal = shop.run("distill", "next", "--workload", "suport").refusal
    assert refusal == "Workload 'suport' has no answers to learn from; there are: support."


def test_what_may_not_be_learned_is_left_out(shop: Shop, tmp_path: Path) -> None:
    teacher = {"upstream": "http://127.0.0.1:9/v1", "model": "m", "distillation": "denied"}
    models = {"models": {"teacher": teacher}, "store": {"url": shop.url}}
    config = tmp_path / "denied.yaml"
    config.write_text(json.dumps(models))
    denied = Shop(folder=tmp_path, settings=models)
    (report,) = json.loads(denied.run("distill", "next", "--json").out)["workloads"]
    assert (report["clusters"], report["wrong"]) == ([], None)
    assert report["left_out"] == {"licence": 58}


def test_what_was_said_before_a_change_does_not_count(tmp_path: Path) -> None:
    shop = Shop(folder=tmp_path)
    store = shop.open()
    store.add_release(digest="r1", workload="support", path="/nowhere")
    store.set_active("support", "r1", "test")
    records = [
        drafted(f"i-{i}", f"question {i}", "new" if i >= 4 else "old", "old", "r1", level=0)
        for i in range(6)
    ]
    # The fifth of six trials was the first of another world; the last raised the alarm.
    watch = {"last": {"trial": 6}, "changed": 4, "trials": 6}
    store.append(records, {"support": PromiseState(terms="t", state={"watch": watch})})
    store.close()
    (report,) = json.loads(shop.run("distill", "next", "--json").out)["workloads"]
    assert (report["questions"], report["wrong"], report["since_change"]) == (2, 1.0, True)
    assert "only drafts since" in shop.run("distill", "next").out
    calm = Shop(folder=tmp_path, settings={"learning": {"on_drift": False}})
    (report,) = json.loads(calm.run("distill", "next", "--json").out)["workloads"]
    assert (report["questions"], report["since_change"]) == (6, False)
