"""The gateway over a real vLLM: drafts, adapters loaded while it runs, a flip and a rollback."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from benchmarks.vllm.environment import locate
from router.generative.student import GenerativeStudent, keep_adapter
from router.record.model import Interaction
from router.record.store import Store
from router.release import save_release
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.generative.test_adapters import promote, sure_gate, until
from tests.integration.generative.test_drafts import models, shop
from tests.integration.vllm.tiny_adapter import write_random_adapter

pytestmark = pytest.mark.long

PROMPTS = [f"Name {n} things that one finds in a kitchen." for n in ("two", "three", "four")]
SHORT: dict[str, Any] = {"max_tokens": 5, "temperature": 0}
PATIENT_S = 240.0
"""On a busy machine the first answers take vLLM a minute."""


class Address:
    """A server that runs already, where a stand-in could be."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url


def configure(teacher: FakeUpstream, vllm_url: str, **policy: Any) -> dict[str, Any]:
    student = Address(vllm_url)
    more = {"timeout_s": {"total": PATIENT_S}}
    return {"models": models(teacher, student, **more), "workloads": shop(**policy)}


def enter(folder: Path, seed: int) -> tuple[str, str]:
    """A release with a random adapter: its digest and the adapter's name."""
    built = locate()
    assert built is not None
    releases = folder / "t-releases"
    source = write_random_adapter(folder / f"adapter-{seed}", built.base_model, seed)
    adapter = keep_adapter(source, releases)
    digest, path = save_release(
        releases,
        workload="shop",
        comparer="text",
        encoder="",
        student=GenerativeStudent(base="small", adapter=adapter),
        gate=sure_gate(),
    )
    store = Store.open(f"sqlite:///{folder}/t.db")
    store.add_release(digest=digest, workload="shop", path=str(path))
    store.close()
    return digest, adapter.name


async def listed(vllm_url: str) -> set[str]:
    async with httpx.AsyncClient() as http:
        found = (await http.get(f"{vllm_url}/models", timeout=30)).json()
    return {model["id"] for model in found["data"]}


async def ask(chat: openai.AsyncOpenAI, prompt: str, *, stream: bool) -> tuple[str, str, str]:
    """Release, tier and text of an answer, by the official client."""
    raw = await chat.chat.completions.with_raw_response.create(
        model="auto",
        messages=[{"role": "user", "content": prompt}],
        stream=stream,
        timeout=PATIENT_S,
        **SHORT,
    )
    parsed: Any = raw.parse()
    if stream:
        text = "".join([c.choices[0].delta.content or "" async for c in parsed if c.choices])
    else:
        text = parsed.choices[0].message.content
    headers = raw.headers
    return headers.get("x-tutelage-release", ""), headers["x-tutelage-tier"], text


async def test_a_draft_of_the_base_model_comes_with_evidence(tmp_path: Path, vllm_url: str) -> None:
    async with FakeUpstream("a pan and a pot") as big:
        more = configure(big, vllm_url, policy="threshold", threshold=0.9)
        async with gateway(tmp_path, "", **more) as base, client(base) as chat:
            _, tier, text = await ask(chat, PROMPTS[0], stream=False)
    assert (tier, text) == ("teacher", "a pan and a pot")  # there is no gate yet
    (row,) = read(tmp_path, 1)
    assert row.reason == "evidence_missing"
    assert row.draft is not None
    assert len(str(row.draft["content"])) > 3
    names = ("mean_logprob", "min_logprob", "window_logprob", "least_margin", "mean_entropy")
    assert set(names) <= row.evidence.keys()
    draft, answer = row.attempts
    assert (draft.upstream_model, draft.status, answer.model) == ("small", 200, "teacher")
    assert draft.usage is not None
    assert draft.usage.completion_tokens == SHORT["max_tokens"]
    assert row.cost_usd == (draft.cost_usd or 0) + (answer.cost_usd or 0)


def read(folder: Path, count: int) -> list[Interaction]:
    store = Store.open(f"sqlite:///{folder}/t.db")
    rows = store.latest(count)
    store.close()
    return rows


async def measure_flip(base: str, folder: Path, digest: str) -> float:
    """Seconds from the pointer's move until the gateway says that the release is in force."""

    def point() -> float:
        store = Store.open(f"sqlite:///{folder}/t.db")
        began_s = time.perf_counter()
        store.set_active("shop", digest, "test")
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


async def test_flip_and_rollback_under_traffic(
    tmp_path: Path, vllm_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tutelage.students")
    first, one = enter(tmp_path, 1)
    names = {first: one}
    promote(tmp_path, first)
    assert await listed(vllm_url) == {"small"}
    answers: list[tuple[str, str, str, str]] = []
    failures: list[Exception] = []
    stopped = asyncio.Event()
    async with FakeUpstream("never asked") as big:
        more = configure(big, vllm_url, policy="student", audit={"max_share": 0.0})
        async with gateway(tmp_path, "", **more) as base, client(base) as chat:
            # It was loaded, warmed up and verified before the gateway took its first request.
            assert await listed(vllm_url) == {"small", one}

            async def keep_asking(*, stream: bool) -> None:
                while not stopped.is_set():
                    prompt = PROMPTS[len(answers) % len(PROMPTS)]
                    try:
                        answers.append((prompt, *await ask(chat, prompt, stream=stream)))
                    except openai.OpenAIError as error:
                        failures.append(error)

            async def wait_for_answers(release: str, count: int) -> None:
                def enough() -> bool:
                    return sum(found == release for _, found, _, _ in answers) >= count

                await until(lambda: enough() or failures, within_s=PATIENT_S)

            async with asyncio.TaskGroup() as group:
                for stream in (False, True):
                    group.create_task(keep_asking(stream=stream))
                await wait_for_answers(first, 4)
                second, two = await asyncio.to_thread(enter, tmp_path, 2)
                names[second] = two
                # The candidate becomes resident by itself.
                await until(lambda: f"{two} is ready" in caplog.text, within_s=PATIENT_S)
                flips_s = [await measure_flip(base, tmp_path, second)]
                await wait_for_answers(second, 4)
                before = Counter(release for _, release, _, _ in answers)[first]
                flips_s.append(await measure_flip(base, tmp_path, first))
                await wait_for_answers(first, before + 4)
                stopped.set()
            assert await listed(vllm_url) == {"small", one, two}
    assert failures == []
    assert {tier for _, _, tier, _ in answers} == {"student"}
    assert big.requests == []
    assert max(flips_s) < 1.0
    rows = read(tmp_path, len(answers))
    assert len(rows) == len(answers)
    mixed = [row.id for row in rows if row.attempts[-1].upstream_model != names[row.release or ""]]
    assert mixed == []
    # Each says something of its own, and says it under its release alone.
    said = {r: {(p, text) for p, release, _, text in answers if release == r} for r in names}
    assert said[first]
    assert said[second]
    assert said[first].isdisjoint(said[second])
