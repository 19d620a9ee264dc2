"""The upstream behind the gateway: it answers everything, and keeps what OpenAI's server keeps."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from policies.types import Answer, ToolCall
from router.testing import DEFAULT_USAGE, FakeUpstream
from router.testing.upstream import Body
from router.wire.fakes import stream_fake, write_fake
from router.wire.form import Form
from router.wire.openai import chunks_from_answer, completion_from_answer

_IDENTITY: dict[str, Any] = {
    "id": "chatcmpl-kept",
    "model": "kept",
    "created": 1_700_000_000,
    "usage": DEFAULT_USAGE,
}
_KEPT = Answer(content="kept", finish_reason="stop")
_ITEM = {"type": "message", "id": "msg_1", "role": "user", "status": "completed", "content": []}


def answer(body: Body) -> str | Answer:
    """A call where one is forced, the first value that fits where a schema is given, else words."""
    choice = body.get("tool_choice")
    function = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(function, dict):
        call = ToolCall(name=function["name"], arguments=json.dumps({"value": "CANARY_OK"}))
        return Answer(content=None, tool_calls=(call,), finish_reason="tool_calls")
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        properties = wanted["json_schema"]["schema"]["properties"]
        return json.dumps({name: fitting["enum"][0] for name, fitting in properties.items()})
    return "CANARY_OK"


class KeepingUpstream(FakeUpstream):
    """A ``FakeUpstream`` that pretends to have kept every answer that it is asked for."""

    def __init__(self) -> None:
        super().__init__(answer)

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        one, chat = "/v1/responses/{id}", "/v1/chat/completions"
        app.router.add_post("/v1/responses/input_tokens", self._count_input)
        app.router.add_get(one, self._show_response)
        app.router.add_delete(one, self._delete)
        app.router.add_post(f"{one}/cancel", self._show_response)
        app.router.add_get(f"{one}/input_items", self._list_items)
        app.router.add_get(chat, self._list_completions)
        app.router.add_get(f"{chat}/{{id}}", self._show_completion)
        app.router.add_post(f"{chat}/{{id}}", self._show_completion)
        app.router.add_delete(f"{chat}/{{id}}", self._delete_completion)
        app.router.add_get(f"{chat}/{{id}}/messages", self._list_messages)

    async def _count_input(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"object": "response.input_tokens", "input_tokens": 3})

    async def _show_response(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("stream") == "true":
            chunks = chunks_from_answer(_KEPT, **_IDENTITY, include_usage=True)
            body = b"".join(stream_fake(Form.RESPONSES, chunks, {}))
            return web.Response(body=body, content_type="text/event-stream")
        completion = completion_from_answer(_KEPT, **_IDENTITY)
        return web.json_response(write_fake(Form.RESPONSES, completion, {}))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"id": "resp_kept", "object": "response", "deleted": True})

    async def _list_items(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_page([_ITEM]))

    async def _list_completions(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_page([completion_from_answer(_KEPT, **_IDENTITY)]))

    async def _show_completion(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(completion_from_answer(_KEPT, **_IDENTITY))

    async def _delete_completion(self, request: web.Request) -> web.StreamResponse:
        gone = {"id": "chatcmpl-kept", "object": "chat.completion.deleted", "deleted": True}
        return web.json_response(gone)

    async def _list_messages(self, request: web.Request) -> web.StreamResponse:
        message = {"id": "chatcmpl-kept-0", "role": "assistant", "content": "kept", "refusal": None}
        return web.json_response(_page([message]))


def _page(data: list[dict[str, Any]]) -> dict[str, Any]:
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
    return {"object": "list", "data": data, **ends, "has_more": False}
