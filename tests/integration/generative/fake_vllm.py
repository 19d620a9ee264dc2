"""A stand-in for vLLM: the shipped fake upstream, with adapters that come and go.

It answers ``parcel`` to a message that mentions one and ``login`` to others, surely; to a message
with ``??`` it says ``login`` too, and isn't sure. An adapter answers as the base does, with its
name behind a bar where ``told`` is set.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from router.testing import FakeUpstream


def said_by_teacher(text: str) -> str:
    """The right answer; the fake student gets it wrong where it is unsure."""
    return "other" if "??" in text else "parcel" if "parcel" in text else "login"


class FakeVllm(FakeUpstream):
    """``calls``: what was loaded and unloaded, in order; ``adapters``: what is loaded; while
    ``refused``, nothing more is."""

    def __init__(self, base: str = "small", *, told: bool = False, **more: Any) -> None:
        def answer(body: dict[str, Any]) -> str:
            text = str(body["messages"][-1]["content"])
            label = "parcel" if "parcel" in text else "login"
            return f"{label} | {body['model']}" if told else label

        def logprob(body: dict[str, Any]) -> float:
            return -1.5 if "??" in str(body["messages"][-1]["content"]) else -0.01

        super().__init__(answer, logprobs=logprob, **more)
        self.base = base
        self.adapters: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.refused = False

    def add_routes(self, app: web.Application) -> None:
        router = app.router
        router.add_post("/v1/chat/completions", self._serve_known)
        router.add_get("/v1/models", self._list)
        router.add_post("/v1/load_lora_adapter", self._load)
        router.add_post("/v1/unload_lora_adapter", self._unload)

    async def _serve_known(self, request: web.Request) -> web.StreamResponse:
        model = json.loads(await request.read())["model"]
        if model != self.base and model not in self.adapters:
            return web.json_response({"error": {"message": f"no model {model}"}}, status=404)
        return await self._serve(request)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        listed = [{"id": name, "object": "model"} for name in (self.base, *self.adapters)]
        return web.json_response({"object": "list", "data": listed})

    async def _load(self, request: web.Request) -> web.StreamResponse:
        given = await request.json()
        if self.refused:
            return web.json_response({"error": {"message": "no"}}, status=400)
        self.calls.append(("load", given["lora_name"]))
        self.adapters[given["lora_name"]] = given["lora_path"]
        return web.Response(text="ok")

    async def _unload(self, request: web.Request) -> web.StreamResponse:
        name = (await request.json())["lora_name"]
        self.calls.append(("unload", name))
        del self.adapters[name]
        return web.Response(text="ok")
