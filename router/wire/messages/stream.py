"""Streams of Anthropic's Messages form, from and to ``chat.completion.chunk`` objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import time
from typing import Any

from router.wire.messages.answers import (
    finish_reason_of,
    message_id,
    stop_reason_of,
    usage_from_message,
    usage_to_message,
)
from router.wire.sse import Last, encode


class MessageReader:
    """Chunks out of a message's events. ``ended``: the last event has come."""

    def __init__(self) -> None:
        self.ended = False
        self._stopped = False
        self._head: dict[str, Any] = {"object": "chat.completion.chunk", "created": int(time())}
        self._usage: dict[str, Any] = {}
        self._calls: dict[Any, int] = {}
        self._thoughts: dict[Any, dict[str, Any]] = {}

    def feed(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Take one event; what isn't known yields nothing."""
        match event.get("type"):
            case "message_start":
                return self._start(_mapping(event.get("message")))
            case "content_block_start":
                return self._open(event.get("index"), _mapping(event.get("content_block")))
            case "content_block_delta":
                return self._continue(event.get("index"), _mapping(event.get("delta")))
            case "content_block_stop" if event.get("index") in self._thoughts:
                thought = self._thoughts.pop(event.get("index"))
                return [self._chunk({"thinking_blocks": [thought]})]
            case "message_delta":
                self._usage |= _known(_mapping(event.get("usage")))
                reason = finish_reason_of(_mapping(event.get("delta")).get("stop_reason"))
                self._stopped = self._stopped or reason is not None
                return [] if reason is None else [self._chunk({}, reason)]
            case "message_stop":
                self.ended = True
                return [self._tell_usage()]
        return []

    def close(self) -> list[dict[str, Any]]:
        """The usage, where only the last event was missing."""
        return [] if self.ended or not self._stopped else [self._tell_usage()]

    def _tell_usage(self) -> dict[str, Any]:
        return {**self._head, "choices": [], "usage": usage_from_message(self._usage)}

    def _start(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        self._head |= {"id": message.get("id"), "model": message.get("model")}
        self._usage = _known(_mapping(message.get("usage")))
        return [self._chunk({"role": "assistant", "content": ""})]

    def _open(self, index: Any, block: Mapping[str, Any]) -> list[dict[str, Any]]:
        match block.get("type"):
            case "text" if block.get("text"):
                return [self._chunk({"content": block["text"]})]
            case "tool_use":
                self._calls[index] = len(self._calls)
                given = block.get("input")
                arguments = json.dumps(given, ensure_ascii=False) if given else ""
                function = {"name": block.get("name"), "arguments": arguments}
                call = {"id": block.get("id"), "type": "function", "function": function}
                return [self._chunk({"tool_calls": [{"index": self._calls[index], **call}]})]
            case "thinking" | "redacted_thinking":
                self._thoughts[index] = dict(block)
        return []

    def _continue(self, index: Any, delta: Mapping[str, Any]) -> list[dict[str, Any]]:
        thought = self._thoughts.get(index)
        match delta.get("type"):
            case "text_delta":
                return [self._chunk({"content": delta.get("text")})]
            case "input_json_delta" if index in self._calls:
                function = {"arguments": delta.get("partial_json") or ""}
                call = {"index": self._calls[index], "function": function}
                return [self._chunk({"tool_calls": [call]})]
            case "thinking_delta" if thought is not None:
                thought["thinking"] = thought.get("thinking", "") + str(delta.get("thinking"))
                return [self._chunk({"reasoning_content": delta.get("thinking")})]
            case "signature_delta" if thought is not None:
                thought["signature"] = delta.get("signature")
        return []

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head, "choices": [choice]}


class MessageWriter:
    """Events of a message out of chunks; of several choices only the first.

    The form has one block open at a time. The first call streams; what comes to another while it
    is open waits for the end, and so does text that follows a call.
    """

    def __init__(self) -> None:
        self._started = False
        self._open: str | None = None
        self._index = -1
        self._calls: dict[int, dict[str, str]] = {}
        self._late_text = ""
        self._finish: str | None = None
        self._refused = False
        self._usage: Any = None

    def feed(self, chunk: Mapping[str, Any]) -> list[bytes]:
        """The events that a chunk gives."""
        events = [] if self._started else [self._start(chunk)]
        self._started = True
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) == 0:
                self._finish = choice.get("finish_reason") or self._finish
                events += self._take(choice.get("delta") or {})
        return events

    def finish(self) -> list[bytes]:
        """What remains: waiting calls and text, the reason of the end, and usage."""
        events = [] if self._started else [self._start({})]
        for index in list(self._calls)[1:]:
            call = self._calls[index]
            events += self._begin(f"call {index}", _tool_block(call))
            events.append(self._delta("input_json_delta", "partial_json", call["arguments"]))
        if self._late_text:
            events += self._begin("text", {"type": "text", "text": ""})
            events.append(self._delta("text_delta", "text", self._late_text))
        events += self._close()
        reason = "refusal" if self._refused else stop_reason_of(self._finish)
        delta = {"stop_reason": reason, "stop_sequence": None}
        usage = usage_to_message(self._usage)
        events.append(_event({"type": "message_delta", "delta": delta, "usage": usage}))
        return [*events, Last(_event({"type": "message_stop"}))]

    def _start(self, chunk: Mapping[str, Any]) -> bytes:
        message: dict[str, Any] = {
            "id": message_id(chunk.get("id")),
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_to_message(None),
        }
        return _event({"type": "message_start", "message": message})

    def _take(self, delta: Mapping[str, Any]) -> list[bytes]:
        events: list[bytes] = []
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            block = {"type": "thinking", "thinking": "", "signature": ""}
            events += self._begin("thinking", block)
            events.append(self._delta("thinking_delta", "thinking", thought))
        for block in delta.get("thinking_blocks") or []:
            events += self._sign(block)
        self._refused = self._refused or bool(delta.get("refusal"))
        text = delta.get("content") or delta.get("refusal")
        if isinstance(text, str) and text:
            if self._calls:
                self._late_text += text
            else:
                events += self._begin("text", {"type": "text", "text": ""})
                events.append(self._delta("text_delta", "text", text))
        for call in delta.get("tool_calls") or []:
            events += self._take_call(call)
        return events

    def _sign(self, block: Mapping[str, Any]) -> list[bytes]:
        """The signature that follows thinking, or thinking that nobody may read."""
        if block.get("type") == "redacted_thinking":
            return [*self._begin("redacted", dict(block)), *self._close()]
        if self._open != "thinking":
            return []
        return [self._delta("signature_delta", "signature", block.get("signature") or "")]

    def _take_call(self, given: Mapping[str, Any]) -> list[bytes]:
        index = given.get("index", 0)
        function = given.get("function") or {}
        call = self._calls.get(index)
        opened = call is None
        if call is None:
            call = self._calls[index] = {"id": "", "name": "", "arguments": ""}
        call["id"] = call["id"] or given.get("id") or f"toolu_{index}"
        call["name"] = call["name"] or function.get("name") or ""
        if index != next(iter(self._calls)):
            call["arguments"] += function.get("arguments") or ""
            return []
        events = self._begin(f"call {index}", _tool_block(call)) if opened else []
        if function.get("arguments"):
            part = function["arguments"]
            events.append(self._delta("input_json_delta", "partial_json", part))
        return events

    def _begin(self, kind: str, block: dict[str, Any]) -> list[bytes]:
        if self._open == kind:
            return []
        events = self._close()
        self._open, self._index = kind, self._index + 1
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return [*events, _event(start)]

    def _close(self) -> list[bytes]:
        if self._open is None:
            return []
        self._open = None
        return [_event({"type": "content_block_stop", "index": self._index})]

    def _delta(self, kind: str, key: str, value: str) -> bytes:
        delta = {"type": kind, key: value}
        return _event({"type": "content_block_delta", "index": self._index, "delta": delta})


def _tool_block(call: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}}


def _event(data: dict[str, Any]) -> bytes:
    return encode(data, event=data["type"])


def _known(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in usage.items() if value is not None}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
