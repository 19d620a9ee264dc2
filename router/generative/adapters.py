"""Adapters on the servers: loaded by name, warmed up, verified, and unloaded in the end.

What this needs of a server is what vLLM offers with ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=1``:
``GET /v1/models``, ``POST /v1/load_lora_adapter`` and ``POST /v1/unload_lora_adapter``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import aiohttp

from router.errors import TutelageError
from router.generative.replicas import Replicas, Upstream
from router.generative.student import GenerativeStudent, is_adapter_name
from router.upstream.model import CallError, UpstreamTarget

_log = logging.getLogger("tutelage.students")

WARM_UP_S = 180.0
"""The first answer with log-probabilities and the first with an adapter take vLLM half a minute on
the CPU."""

GRACE_S = 120.0
"""How long an adapter stays after its release went: longer than a request can take."""

LOOK_EVERY_S = 5.0
"""How often the servers are asked what they have: one that was restarted has lost its adapters."""

_CONTROL_S = 30.0
_KNOWN_PROMPT = "Say yes."


class NotResident(TutelageError):
    """A server doesn't have the student, and can't be given it."""


class Residents:
    """Which students the servers hold. ``grace_s``: after which a stranger is unloaded."""

    def __init__(
        self,
        replicas: Replicas,
        upstream: Upstream,
        *,
        grace_s: float = GRACE_S,
        look_every_s: float = LOOK_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = replicas
        self._upstream = upstream
        self._grace_s = grace_s
        self._look_every_s = look_every_s
        self._clock = clock
        self._verified: list[set[str]] = [set() for _ in replicas.targets]
        self._wanted_at: dict[str, float] = {}
        self._looked_at = float("-inf")
        self._told: dict[str, str] = {}
        self._one_at_a_time = asyncio.Lock()

    async def ensure(self, student: GenerativeStudent) -> None:
        """Have it on every server, warm and verified; at once where it is. Raises NotResident.

        A server that can't be reached doesn't count as long as another can: it draws no requests,
        and is given the student once it is back. Whole weights can't be given to a server: there
        it is enough that one has them.
        """
        self._wanted_at[student.model] = self._clock()  # from now on nobody unloads it
        verified = [student.model in names for names in self._verified]
        if all(verified) or (student.adapter is None and any(verified)):
            return
        async with self._one_at_a_time:
            problems = await self._ensure(student)
        if student.adapter is None and None in problems:
            return
        wrong = [p for p in problems if p is not None and not isinstance(p, _Unreachable)]
        down = [p for p in problems if isinstance(p, _Unreachable)]
        if wrong or len(down) == len(problems):
            raise NotResident(str((wrong or down)[0]))

    async def tend(self, students: Sequence[GenerativeStudent]) -> None:
        """Give each of them to the servers that lack it, and unload what went a while ago. Problems
        are logged once: what can't be loaded now is tried again at the next look."""
        names = {student.model: student for student in students}
        now = self._clock()
        self._wanted_at.update(dict.fromkeys(names, now))
        lacking = any(
            student.model not in verified and (student.adapter is not None or not self._has(name))
            for name, student in names.items()
            for verified in self._verified
        )
        adapters = any(map(is_adapter_name, self._wanted_at))
        if now < self._looked_at + self._look_every_s or not (lacking or adapters):
            return
        self._looked_at = now
        async with self._one_at_a_time:
            await self._look()
            for name, student in names.items():
                if student.adapter is None and self._has(name):
                    continue
                problems = await self._ensure(student)
                wrong = [str(problem) for problem in problems if problem is not None]
                enough = student.adapter is None and len(wrong) < len(problems)
                self._tell(name, "" if enough or not wrong else wrong[0])
            await self._unload_strangers(set(names))

    def _has(self, name: str) -> bool:
        """Some server holds it."""
        return any(name in verified for verified in self._verified)

    def _tell(self, name: str, problem: str) -> None:
        if problem and self._told.get(name) != problem:
            _log.warning("%s is not ready everywhere: %s", name, problem)
        self._told[name] = problem

    async def _ensure(self, student: GenerativeStudent) -> list[TutelageError | None]:
        """Per server, what is wrong."""
        every = range(len(self._replicas.targets))
        return list(await asyncio.gather(*(self._ensure_on(i, student) for i in every)))

    async def _ensure_on(self, i: int, student: GenerativeStudent) -> TutelageError | None:
        if student.model in self._verified[i]:
            return None
        target = self._replicas.targets[i]
        try:
            if student.adapter is not None and student.model not in await _list_models(target):
                adapter = {"lora_name": student.model, "lora_path": str(student.adapter.folder)}
                await _post(target, "load_lora_adapter", adapter)
                if student.model not in await _list_models(target):
                    raise NotResident(f"{target.base_url} took {student.model} and lacks it.")
            await self._verify(target, student.model)
        except (TutelageError, CallError) as error:
            return error
        self._verified[i].add(student.model)
        self._replicas.wake(i, student.model)
        _log.info("%s is ready at %s.", student.model, target.base_url)
        return None

    async def _verify(self, target: UpstreamTarget, model: str) -> None:
        """A known prompt is answered, with log-probabilities and under that name."""
        patient = replace(
            target, model=model, first_byte_timeout_s=WARM_UP_S, total_timeout_s=WARM_UP_S
        )
        body = {
            "messages": [{"role": "user", "content": _KNOWN_PROMPT}],
            "max_tokens": 2,
            "logprobs": True,
            "top_logprobs": 1,
        }
        reply = await self._upstream.complete(patient, body)
        said = reply.payload.get("model")
        if is_adapter_name(model) and said != model:
            raise NotResident(f"{target.base_url} answered as {said!r} when asked for {model}.")

    async def _look(self) -> None:
        """Forget what a server no longer lists, or all of a server that doesn't answer."""
        for i, target in enumerate(self._replicas.targets):
            try:
                listed = await _list_models(target)
            except TutelageError:
                self._verified[i].clear()
                continue
            self._verified[i] -= {n for n in self._verified[i] if is_adapter_name(n)} - listed

    async def _unload_strangers(self, wanted: set[str]) -> None:
        now = self._clock()
        for i, target in enumerate(self._replicas.targets):
            for name in sorted(filter(is_adapter_name, self._verified[i] - wanted)):
                if now < self._wanted_at.get(name, now) + self._grace_s:
                    continue
                self._verified[i].discard(name)
                try:
                    await _post(target, "unload_lora_adapter", {"lora_name": name})
                except TutelageError as error:
                    _log.warning("%s could not be unloaded: %s", name, error)


class _Unreachable(NotResident):
    """No connection: the server is down, not wrong."""


async def _list_models(target: UpstreamTarget) -> set[str]:
    text = await _call(target, "GET", "models", None)
    try:
        return {str(model["id"]) for model in text["data"]}
    except (KeyError, TypeError):
        raise NotResident(f"{target.base_url}/models gave no list of models.") from None


async def _post(target: UpstreamTarget, path: str, body: dict[str, str]) -> None:
    await _call(target, "POST", path, body)


async def _call(target: UpstreamTarget, method: str, path: str, body: Any) -> Any:
    """The parsed answer, or None where it is no JSON. Raises NotResident."""
    url = f"{target.base_url.rstrip('/')}/{path}"
    headers = {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}
    timeout = aiohttp.ClientTimeout(total=_CONTROL_S, connect=target.connect_timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                method, url, json=body, headers=headers, allow_redirects=False
            ) as response,
        ):
            if response.status == 404 and path != "models":
                raise NotResident(
                    f"{url} doesn't exist: start vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 "
                    "and --enable-lora, as tutelage student serve does."
                )
            if response.status != 200:
                said = (await response.text())[:300]
                raise NotResident(f"{url} answered {response.status}: {said}")
            return await response.json() if response.content_type == "application/json" else None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _Unreachable(f"{url} can't be reached: {type(error).__name__}.") from None
