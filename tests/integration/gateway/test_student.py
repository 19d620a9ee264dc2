"""A promoted release answers through the gateway, under each policy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from distill.train.kernel_head import Examples, train
from policies.base import Flow, draft_or_teacher
from policies.plugins import POLICY_GROUP, PolicyContext
from policies.types import Answer, Ask, Features, Tier
from router.deciding.outlook import measure_self_agreement
from router.deciding.promise import PromiseKeeper
from router.meter.metrics import Metrics
from router.record.store import Store
from router.release import save_release
from router.settings.model import PromiseSettings
from router.students.encoder import Encoder
from router.testing import FakeUpstream, Hang
from router.wire.openai import answer_to_json
from router.wire.profile import profile_of
from tests.integration.gateway.test_gateway import client, gateway

PARCEL = ["where is my parcel", "has my order shipped", "when does the parcel arrive", "track it"]
LOGIN = ["I forgot my password", "cannot log in", "the login fails", "reset my password"]
SHIPPED = "has my order shipped"
LABELS = ["parcel", "login"]


def promote(folder: Path, answers: Sequence[str] = LABELS, **more: Any) -> None:
    """Train on a few messages and put the release in force; ``answers``: its two drafts;
    ``more``: what else the release keeps."""
    encoder = Encoder(threads=1)
    texts = [f"{text}{end}" for text in [*PARCEL, *LOGIN] for end in ("", "?", " please")]
    half = len(texts) // 2
    classes = np.array([0] * half + [1] * half, dtype=np.int32)
    classes[half - 1] = 1  # one slip, so that there is something to calibrate on
    examples = Examples(
        vectors=encoder.encode(texts),
        classes=classes,
        answers=[answer_to_json(Answer(content=answer)) for answer in answers],
        answer_vectors=encoder.encode(LABELS),
        weights=np.ones(len(texts)),
    )
    trained = train(examples, seed=0)
    digest, path = save_release(
        folder / "releases",
        workload="shop",
        comparer="label",
        encoder="minilm",
        student=trained.student,
        gate=trained.gate,
        **more,
    )
    store = Store.open(f"sqlite:///{folder}/t.db")
    store.add_release(digest=digest, workload="shop", path=str(path), report={})
    store.set_active("shop", digest, "test")
    store.close()


def workload(**policy: Any) -> dict[str, Any]:
    return {"workloads": [{"name": "shop", "match": {"system_prompt": "*"}, **policy}]}


async def ask(base: str, text: str, **more: Any) -> Any:
    for _ in range(100):  # until the release is taken up
        answer = await client(base).chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": text}], **more
        )
        if answer.headers["x-tutelage-reason"] != "no_release":
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("the release was never taken up")


async def test_threshold_serves_the_sure_and_escalates_the_rest(tmp_path: Path) -> None:
    promote(tmp_path)
    policy = workload(policy="threshold", threshold=0.92, audit={"max_share": 1.0})
    async with FakeUpstream("parcel") as up, gateway(tmp_path, up.base_url, **policy) as base:
        sure = await ask(base, "where is my parcel")
        unsure = await ask(base, "zq 7781 ??")
        stream = await client(base).chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "has my order shipped"}],
            stream=True,
        )
        said = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert sure.parse().choices[0].message.content == "parcel"
    assert sure.headers["x-tutelage-tier"] == "student"
    assert "x-tutelage-cost-usd" not in sure.headers  # its audit's cost isn't known yet
    assert unsure.headers["x-tutelage-tier"] == "teacher"
    assert said == "parcel"
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    rows = store.latest(10)
    store.close()
    audited = [row for row in rows if row.tier == "student"]
    assert len(audited) == 2
    assert all(row.agreed and row.attempts[0].purpose == "audit" for row in audited)
    assert all(row.cost_usd == row.teacher_cost_usd for row in audited)
    assert not any(row.teacher_cost_estimated for row in audited)  # the audit told it


async def test_a_promise_serves_nothing_unproven(tmp_path: Path) -> None:
    promote(tmp_path)
    policy = workload(promise={"agreement": 0.95})
    async with FakeUpstream("parcel") as up, gateway(tmp_path, up.base_url, **policy) as base:
        answer = await ask(base, "where is my parcel")
    assert answer.headers["x-tutelage-tier"] == "teacher"
    assert answer.headers["x-tutelage-reason"] == "observe"
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    row = store.latest(1)[0]
    assert (row.draft_agreed, row.seen, row.propensity) == (True, True, 1.0)
    assert store.promise_state("shop") is not None
    store.close()


async def test_force_and_pin(tmp_path: Path) -> None:
    promote(tmp_path)
    async with FakeUpstream("x") as up, gateway(tmp_path, up.base_url, **workload()) as base:
        forced: dict[str, Any] = {"extra_body": {"tutelage": {"force": "student"}}}
        for _ in range(100):
            try:
                answer = await ask(base, "where is my parcel", **forced)
                break
            except openai.InternalServerError:  # 503 until the release is taken up
                await asyncio.sleep(0.05)
        assert answer.headers["x-tutelage-reason"] == "forced"
        assert answer.headers["x-tutelage-tier"] == "student"
        teacher = await ask(base, "hi", extra_body={"tutelage": {"force": "teacher"}})
    assert teacher.headers["x-tutelage-tier"] == "teacher"
    assert "tutelage" not in up.requests[-1].body


@pytest.mark.parametrize(
    "change",
    [
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "track"}}], "tool_choice": "required"},
        {"stop": ["r"]},
        {"messages": [{"role": "system", "content": "Answer in French."}]},
    ],
)
async def test_a_request_unlike_those_learned_from_is_not_drafted(
    change: dict[str, Any], tmp_path: Path
) -> None:
    usual = profile_of({"messages": [{"role": "user", "content": SHIPPED}]})
    promote(tmp_path, forms={usual.form}, prompts={usual.prompt})
    policy = workload(policy="student")
    async with FakeUpstream("parcel") as up, gateway(tmp_path, up.base_url, **policy) as base:
        same = await ask(base, SHIPPED)
        messages = [*change.pop("messages", []), {"role": "user", "content": SHIPPED}]
        other = await client(base).chat.completions.with_raw_response.create(
            model="auto", messages=messages, **change
        )
    assert same.headers["x-tutelage-tier"] == "student"
    assert other.headers["x-tutelage-tier"] == "teacher"
    assert other.headers["x-tutelage-reason"] == "not_cascadable"


async def test_a_guarantee_serves_only_where_the_teacher_may_be_asked_by_chance(
    tmp_path: Path,
) -> None:
    promote(tmp_path)
    guarantee = {"agreement": 0.6, "confidence": 0.51, "guarantee": True}
    policy = workload(promise=guarantee, recall=False)
    free = {"extra_body": {"tutelage": {"max_cost_usd": 0}}}
    async with FakeUpstream("parcel") as up, gateway(tmp_path, up.base_url, **policy) as base:
        reasons = [(await ask(base, "where is my parcel")).headers["x-tutelage-reason"]]
        while reasons[-1] != "guaranteed":
            assert len(reasons) < 500
            reasons.append((await ask(base, "where is my parcel")).headers["x-tutelage-reason"])
        asked = len(up.requests)
        for _ in range(80):
            with pytest.raises(openai.BadRequestError) as refused:
                await ask(base, "where is my parcel", **free)
            assert refused.value.code == "max_cost_exceeded"
        assert len(up.requests) == asked
        # Had those coins that fell for a check left it under way, nothing could be served now.
        later = [(await ask(base, "where is my parcel")).headers for _ in range(20)]
    assert reasons[0] == "observe"
    assert {head["x-tutelage-reason"] for head in later} <= {"guaranteed", "proof"}
    assert "guaranteed" in {head["x-tutelage-reason"] for head in later}
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    served = [row for row in store.latest(500) if row.reason == "guaranteed"]
    stored = store.promise_state("shop")
    store.close()
    assert stored is not None
    assert stored.terms.startswith("guarantee:")
    assert all(row.tier == "student" and row.propensity == row.floor < 1.0 for row in served)


class Brief:
    """A plug-in of the test's own: short questions to the student, the others to the teacher."""

    name = "brief"

    def __init__(self, context: PolicyContext) -> None:
        self._most_chars = context.options["most_chars"]

    def flow(self, features: Features) -> Flow:
        if features.last_user_chars > self._most_chars:
            yield Ask(tier=Tier.TEACHER, commit=True, reason="long")
        elif (yield from draft_or_teacher(features)) is not None:
            yield Ask(tier=Tier.STUDENT, commit=True, reason="short")


async def test_a_plugin_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entry point is put in place here; ``tests/unit/router/test_plugins.py`` has real ones."""
    found = EntryPoint("brief", f"{__name__}:Brief", POLICY_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda entry: lambda context, coin: Brief(context))
    monkeypatch.setattr("router.deciding.plugins.entry_points", lambda group: [found])
    monkeypatch.setattr("router.settings.rules.entry_points", lambda group: [found])
    promote(tmp_path)
    chosen = workload(policy="brief", options={"most_chars": 30})
    async with FakeUpstream() as up, gateway(tmp_path, up.base_url, **chosen) as base:
        short = await ask(base, SHIPPED)
        long = await ask(base, f"{SHIPPED}, and if it has, when will it arrive")
    assert (short.headers["x-tutelage-tier"], short.headers["x-tutelage-reason"]) == (
        "student",
        "short",
    )
    assert (long.headers["x-tutelage-tier"], long.headers["x-tutelage-reason"]) == (
        "teacher",
        "long",
    )


async def test_a_few_questions_are_asked_twice_on_purpose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.deciding.repeat.SHARE", 1.0)
    promote(tmp_path)
    policy = workload(promise={"agreement": 0.95}, audit={"repeats": 2})
    async with FakeUpstream("parcel") as up, gateway(tmp_path, up.base_url, **policy) as base:
        await ask(base, "not kept", extra_body={"tutelage": {"store": False}})
        for text in PARCEL:
            await ask(base, text)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    rows = store.latest(200)
    again = [row for row in rows if row.reason == "repeat"]
    measured = measure_self_agreement(store, "shop", "label", 0.95)
    promises = PromiseKeeper(store, Metrics())
    trials = promises.account("shop", PromiseSettings(agreement=0.95)).trials
    assert store.count_by_reason("shop", "repeat") == 2
    store.close()
    assert len(up.requests) == len(rows)
    assert [row.input_text for row in reversed(again)] == PARCEL[:2]
    # They cost, teach nothing, and are evidence for nothing but what they are for.
    assert all(row.cost_usd is not None and not row.train_ok for row in again)
    assert (measured.questions, measured.alike) == (2, 2)
    assert trials == len(PARCEL) + 1


async def test_an_audit_that_a_killed_gateway_left_is_no_answer_in_the_journal(
    tmp_path: Path,
) -> None:
    """Also where a model has a price per answer: whether there was one, nobody knows."""
    promote(tmp_path)
    more = workload(policy="student", audit={"max_share": 1.0})
    async with FakeUpstream(always=Hang()) as up:
        priced = {"upstream": up.base_url, "model": "m", "price": {"usd_per_request": 0.01}}
        more["models"] = {"teacher": {**priced, "timeout_s": {"first_byte": 1, "total": 1}}}
        async with gateway(tmp_path, up.base_url, **more) as base:
            served = await ask(base, SHIPPED)
            noted = "".join(file.read_text() for file in (tmp_path / "t-journal").iterdir())
    assert served.headers["x-tutelage-tier"] == "student"
    (line,) = [line for line in noted.splitlines() if "ended before it was known" in line]
    assert '"basis":"unknown"' in line.replace(" ", "")
    assert '"basis":"answer"' not in line.replace(" ", "")
