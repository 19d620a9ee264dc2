"""A gateway without its HTTP front: a real store, encoder, students, and an upstream that answers
for the teacher."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from distill.train.kernel_head import Examples, Trained, train
from policies.scoring.gate import EMBEDDED_SIGNALS, Gate
from policies.scoring.scorers import Logistic
from policies.types import Answer
from router.app import build_deps
from router.auth import Caller
from router.deps import Deps
from router.drafting import Draft, EmbeddedDrafter
from router.following import take_up_releases
from router.pipeline import run
from router.record.model import Interaction
from router.record.model import Release as ReleaseRecord
from router.record.store import Store
from router.release import Release, save_release
from router.settings.model import Settings
from router.staging.follow import take_up_stages
from router.staging.judge import begin
from router.staging.stage import Plan
from router.students.embedded import EmbeddedStudent
from router.students.encoder import WEIGHTS_SHA256, Encoder
from router.testing import FakeUpstream
from router.wire.openai import answer_to_json, input_text, parse_chat
from tests.integration.learning.messages import make_messages

WORKLOAD = "support"
CALLER = Caller(key_name="", tenant="", train_on=True)
ENCODER = Encoder(threads=1, cache=10_000)
MESSAGES = make_messages(600, seed=3, hard=0.15)
PLAN = Plan(shadow=300, shares=(0.2, 0.5), each=40, within_s=3600.0, confidence=0.95)


def as_label(label: str) -> str:
    return label


def as_json(label: str) -> str:
    return json.dumps({"intent": label})


def learn(messages: Sequence[tuple[str, str]], write: Any = as_label) -> Trained:
    """A student and gate of so many messages."""
    labels = sorted({label for _, label in messages})
    return train(
        Examples(
            vectors=ENCODER.encode([text for text, _ in messages]),
            classes=np.array([labels.index(label) for _, label in messages], np.int32),
            answers=[answer_to_json(Answer(content=write(label))) for label in labels],
            answer_vectors=ENCODER.encode(labels),
            weights=np.ones(len(messages)),
        ),
        seed=0,
    )


def shift_answers(student: EmbeddedStudent) -> EmbeddedStudent:
    """Every answer says what another one should."""
    return replace(student, answers=[*student.answers[1:], student.answers[0]])


def forget(student: EmbeddedStudent, label: str) -> EmbeddedStudent:
    """Knows nothing of one answer any more."""
    said = [json.loads(json.dumps(answer))["content"] for answer in student.answers]
    weights = student.weights.copy()
    weights[:, said.index(label)] = -1.0
    return replace(student, weights=weights)


SURE = Gate(
    signals=EMBEDDED_SIGNALS[:1],
    scorer=Logistic(mean=np.zeros(1), scale=np.ones(1), weights=np.zeros(1), bias=5.0),
    curve_score=np.array([0.5]),
    curve_all=np.array([0.001]),
    curve_served=np.array([0.001]),
)
"""Sure of everything."""


class SlowDrafter(EmbeddedDrafter):
    """Takes its time over the drafts of one release; ``dead``: another one whose drafts fail."""

    slow = ""
    dead = ""

    async def draft(self, body: Mapping[str, Any], release: Release | None) -> Draft:
        if release is not None and release.digest == self.slow:
            await asyncio.sleep(0.4)
        if release is not None and release.digest == self.dead:
            raise RuntimeError("out of memory")
        return await super().draft(body, release)


@dataclass(kw_only=True)
class World:
    """``write``: how the teacher says a label."""

    folder: Path
    deps: Deps
    write: Any = as_label
    asked: int = 0

    @property
    def store(self) -> Store:
        return self.deps.store

    @property
    def drafter(self) -> SlowDrafter:
        assert isinstance(self.deps.drafter, SlowDrafter)
        return self.deps.drafter

    def enter(self, trained: Trained, **changed: Any) -> str:
        """A candidate; ``changed``: of its student or gate."""
        parts = {"student": trained.student, "gate": trained.gate} | changed
        comparer = "label" if self.write is as_label else "json"
        digest, path = save_release(
            self.folder / "releases",
            workload=WORKLOAD,
            comparer=comparer,
            encoder=WEIGHTS_SHA256,
            **parts,
        )
        self.store.add_release(digest=digest, workload=WORKLOAD, path=str(path), report={})
        return digest

    async def put_in_force(self, digest: str) -> None:
        self.store.set_active(WORKLOAD, digest, "test")
        assert await take_up_releases(self.deps) is None

    async def put_on_trial(self, digest: str, plan: Plan = PLAN) -> None:
        in_force = self.store.active_releases()[WORKLOAD]
        judged = begin(self.store, plan, in_force, time.time(), WORKLOAD)
        assert isinstance(judged.to, tuple)
        self.store.begin_stage(digest, *judged.to, judged.reason, judged.rungs)
        assert await take_up_stages(self.deps) is None

    async def ask(self, count: int) -> None:
        """Send so many messages, in their order again and again."""
        for _ in range(count):
            text, _ = MESSAGES[self.asked % len(MESSAGES)]
            self.asked += 1
            body = {
                "model": "auto",
                "messages": [{"role": "user", "content": text}],
                "tutelage": {"workload": WORKLOAD},
            }
            delivery = await run(self.deps, parse_chat(json.dumps(body).encode()), CALLER)
            await delivery.aclose()
            await asyncio.gather(*self.deps.background)
        while self.deps.sink.lag:  # noqa: ASYNC110 - the sink offers no event to wait for
            await asyncio.sleep(0.01)

    async def try_out(self, digest: str, most: int = 2_000) -> ReleaseRecord:
        """Traffic until the release is on trial no more."""
        for _ in range(most // 20):
            await self.ask(20)
            assert await take_up_stages(self.deps) is None
            found = self.store.release(digest)
            assert found is not None
            if found.state not in ("shadow", "canary"):
                return found
        raise AssertionError(f"{digest} is on trial for ever: {found.report['stage']}")

    def records(self) -> list[Interaction]:
        """What was stored of all that was asked."""
        return self.store.latest(10_000)


@asynccontextmanager
async def open_world(folder: Path, write: Any = as_label, **workload: Any) -> AsyncIterator[World]:
    """A gateway that serves from a confidence of .8 on and checks three in ten of those."""
    known = dict(MESSAGES)
    policy = workload or {"policy": "threshold", "threshold": 0.8, "audit": {"max_share": 0.3}}
    async with FakeUpstream(lambda body: write(known[input_text(body)])) as teacher:
        settings = Settings.model_validate(
            {
                "store": {"url": f"sqlite:///{folder}/t.db"},
                "models": {
                    "teacher": {
                        "upstream": teacher.base_url,
                        "model": "big",
                        "distillation": "allowed",
                    }
                },
                "workloads": [{"name": WORKLOAD, **policy}],
            }
        )
        deps = build_deps(settings, Store.open(settings.store.url))
        deps.drafter.close()
        drafter = SlowDrafter(ENCODER, deps.redactor)
        deps = replace(deps, drafter=drafter, staging=type(deps.staging)(drafter, deps.background))
        await deps.upstream.start()
        try:
            yield World(folder=folder, deps=deps, write=write)
        finally:
            await deps.upstream.close()
            drafter.close()
            deps.sink.drain(5.0)
            deps.store.close()
