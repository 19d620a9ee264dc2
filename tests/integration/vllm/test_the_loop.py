"""The whole loop on a real vLLM: recorded answers → a trained adapter → candidate with a gate → in
force → a second one → shadow → canary → in force → rolled back, while the official client asks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from benchmarks.vllm.environment import locate
from distill.demo.shop import read_shop
from router.promotion import promote, roll_back
from router.record.model import Interaction
from router.record.store import Store
from router.release import load_release
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.generative.test_adapters import until
from tests.integration.vllm.test_real_vllm import PATIENT_S, configure
from tests.training_environment import read_losses, training_python

pytestmark = pytest.mark.long

TUTELAGE = Path(sys.executable).parent / "tutelage"
LABELS = ("cancel order", "order status", "parcel damaged", "size advice")
TASK = f"Sort the message. Answer with one of: {', '.join(LABELS)}."
RECORDED = 300
HELD_OUT = "0.4"
"""A gate takes a hundred of the recorded questions."""

SIZES = ["--rank", "8", "--batch", "8", "--learning-rate", "2e-3", "--threads", "2"]
LADDER = {"shadow": 10, "canary": {"shares": [0.5], "each": 10}}
TRIAL_S = 3 * PATIENT_S
PAUSE_S = 0.2
LONG_PAUSE_S = 1.5
"""The caller's, while training and vLLM share two cores with it."""


def read_messages() -> dict[str, str]:
    """Messages of the built-in shop with a label of these, and the teacher's answer."""
    asked = ((row.body["messages"][-1]["content"], row.teacher.answer) for row in read_shop())
    labels = {message: str(answer.content) for message, answer in asked}
    return {message: label for message, label in labels.items() if label in LABELS}


@dataclass(kw_only=True)
class Caller:
    """Asks by the official client until stopped, streaming and not in turn."""

    chat: openai.AsyncOpenAI
    messages: list[str]
    answers: list[tuple[str, str, str]] = field(default_factory=list)
    """Release, tier, text."""
    failures: list[Exception] = field(default_factory=list)
    stopped: bool = False
    pause_s: float = PAUSE_S

    async def keep_asking(self) -> None:
        while not self.stopped:
            try:
                self.answers.append(await self.ask(len(self.answers)))
            except openai.OpenAIError as error:
                self.failures.append(error)
            await asyncio.sleep(self.pause_s)

    async def ask(self, i: int) -> tuple[str, str, str]:
        stream = i % 2 == 1
        raw = await self.chat.chat.completions.with_raw_response.create(
            **body_of(self.messages[i % len(self.messages)]), stream=stream, timeout=PATIENT_S
        )
        parsed: Any = raw.parse()
        if stream:
            text = "".join([c.choices[0].delta.content or "" async for c in parsed if c.choices])
        else:
            text = parsed.choices[0].message.content
        return raw.headers.get("x-tutelage-release", ""), raw.headers["x-tutelage-tier"], text

    async def wait_for(self, release: str, count: int) -> None:
        """Until so many answers more are drafted under a release."""
        before = self.count(release)
        await until(
            lambda: self.failures or self.count(release) >= before + count, within_s=PATIENT_S
        )

    def count(self, release: str) -> int:
        return sum(found == release for found, _, _ in self.answers)


def body_of(message: str) -> dict[str, Any]:
    asked = [{"role": "system", "content": TASK}, {"role": "user", "content": message}]
    return {"model": "auto", "messages": asked, "max_tokens": 8, "temperature": 0}


async def tutelage(folder: Path, *words: str | Path) -> dict[str, Any]:
    """What a command says as JSON."""
    process = await asyncio.create_subprocess_exec(
        TUTELAGE,
        *map(str, words),
        *("--config", str(folder / "tutelage.yaml"), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    said: dict[str, Any] = json.loads(out)
    return said


async def record(folder: Path, teacher: FakeUpstream, vllm_url: str, messages: list[str]) -> str:
    """The teacher answers through the gateway; the digest of the dataset that this makes."""
    more = configure(teacher, vllm_url, policy="teacher")
    async with gateway(folder, "", **more) as base, client(base) as chat:
        caller = Caller(chat=chat, messages=messages)
        for start in range(0, len(messages), 10):
            numbers = range(start, min(start + 10, len(messages)))
            found = await asyncio.gather(*(caller.ask(i) for i in numbers))
            assert {tier for _, tier, _ in found} == {"teacher"}
    built = ["distill", "dataset", "build", "--workload", "shop", "--near", "0"]
    return str((await tutelage(folder, *built, "--held-out", HELD_OUT))["digest"])


async def train(folder: Path, dataset: str, seed: int) -> tuple[str, str]:
    """By the command: the candidate's digest, and its adapter's name at the server."""
    built = locate()
    assert built is not None
    place = ["--base", built.base_model, "--python", training_python()]
    said = await tutelage(
        folder, *("distill", "train", "--dataset", dataset, "--seed", str(seed)), *place, *SIZES
    )
    judged = said["judged"]
    assert judged["drafted"] >= 100
    assert judged["agreed"] > 0.6 * judged["drafted"]  # the base model alone agrees on a few
    losses = read_losses(Path(said["curve"]))
    assert losses[-1] < losses[0] / 4
    store = Store.open(f"sqlite:///{folder}/t.db")
    row = store.release(said["release"])
    store.close()
    assert row is not None
    release = load_release(Path(row.path))
    assert release.gate is not None
    assert release.student is not None
    return release.digest, f"student@{release.student.to_meta()['adapter'][:16]}"


async def measure_flip(base: str, folder: Path, digest: str, move: Any) -> float:
    """Seconds from the pointer's move until the gateway says that the release is in force."""

    def point() -> float:
        store = Store.open(f"sqlite:///{folder}/t.db")
        began_s = time.perf_counter()
        move(store)
        store.close()
        return began_s

    async with httpx.AsyncClient() as http:
        began_s = await asyncio.to_thread(point)
        async with asyncio.timeout(30):
            while (  # noqa: ASYNC110 - it is another process's to know
                f"openai@{digest[:12]}" not in (await http.get(f"{base}/metrics")).text
            ):
                await asyncio.sleep(0.02)
        return time.perf_counter() - began_s


async def follow(folder: Path, digest: str) -> list[str]:
    """The states that a release on trial goes through until it is on trial no more."""
    states = ["shadow"]

    def moved() -> bool:
        store = Store.open(f"sqlite:///{folder}/t.db")
        row = store.release(digest)
        store.close()
        assert row is not None
        if row.state != states[-1]:
            states.append(row.state)
        return row.state not in ("shadow", "canary")

    await until(moved, within_s=TRIAL_S)
    return states


def read(folder: Path) -> list[Interaction]:
    store = Store.open(f"sqlite:///{folder}/t.db")
    rows = store.latest(100_000)
    store.close()
    return rows


async def forget(vllm_url: str, names: list[str]) -> None:
    """Leave the server as it was found."""
    async with httpx.AsyncClient() as http:
        for name in names:
            unload = f"{vllm_url}/unload_lora_adapter"
            (await http.post(unload, json={"lora_name": name}, timeout=60)).raise_for_status()


async def test_from_recorded_answers_to_a_rollback(
    tmp_path: Path, vllm_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tutelage.students")
    labels = read_messages()
    known, fresh = list(labels)[:RECORDED], list(labels)[RECORDED:]
    flips_s = []
    async with FakeUpstream(lambda body: labels[str(body["messages"][-1]["content"])]) as big:
        dataset = await record(tmp_path, big, vllm_url, known)
        first, one = await train(tmp_path, dataset, seed=0)
        await tutelage(tmp_path, "releases", "promote", first)
        checks = {"max_share": 0.5}
        more = configure(big, vllm_url, policy="threshold", threshold=0.5, audit=checks)
        more["learning"] = {"ladder": LADDER}
        async with gateway(tmp_path, "", **more) as base, client(base) as chat:
            caller = Caller(chat=chat, messages=fresh)
            async with asyncio.TaskGroup() as group:
                for _ in range(2):
                    group.create_task(caller.keep_asking())
                await caller.wait_for(first, 6)
                # The second cycle trains, and drafts what was held out, beside the traffic.
                caller.pause_s = LONG_PAUSE_S
                second, two = await train(tmp_path, dataset, seed=1)
                caller.pause_s = PAUSE_S
                await until(lambda: f"{two} is ready" in caplog.text, within_s=PATIENT_S)
                await tutelage(tmp_path, "releases", "try", second)
                states = await follow(tmp_path, second)
                await caller.wait_for(second, 6)
                back = await measure_flip(
                    base, tmp_path, first, lambda store: roll_back(store, "shop", "test")
                )
                await caller.wait_for(first, 6)
                forward = await measure_flip(
                    base, tmp_path, second, lambda store: promote(store, second, "test")
                )
                await caller.wait_for(second, 6)
                flips_s = [forward, back]
                caller.stopped = True
    await forget(vllm_url, [one, two])
    assert caller.failures == []
    assert states == ["shadow", "canary", "active"]
    assert max(flips_s) < 1.0
    names = {first: one, second: two}
    assert one != two
    drafted = [row for row in read(tmp_path) if row.release]
    assert len(drafted) == len(caller.answers)
    mixed = [
        row.id
        for row in drafted
        for attempt in row.attempts
        if attempt.model == "student" and attempt.upstream_model != names[row.release or ""]
    ]
    assert mixed == []
    served = Counter(release for release, tier, _ in caller.answers if tier == "student")
    assert served[first] > 0
    assert served[second] > 0
