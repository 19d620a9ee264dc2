"""Streams of OpenAI's Responses form, from and to ``chat.completion.chunk`` objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.wire.form import stem_of
from router.wire.responses.answers import (
    call_item,
    finish_reason_of,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
    usage_from_response,
    write_response,
)
from router.wire.sse import Last, encode

_ENDINGS = ("response.completed", "response.incomplete", "response.failed")
_THOUGHTS = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")


class ResponseReader:
    """Chunks out of a response's events. ``ended``: the last event has come."""

    def __init__(self) -> None:
        self.ended = False
        self._head: dict[str, Any] = {"id": None, "object": "chat.completion.chunk", "created": 0}
        self._calls: dict[Any, int] = {}

    def feed(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Take one event; what isn't known yields nothing."""
        kind, delta = event.get("type"), event.get("delta")
        response = event.get("response")
        response = response if isinstance(response, Mapping) else {}
        match kind:
            case "response.created":
                self._head |= {
                    "id": response.get("id"),
                    "model": response.get("model"),
                    "created": response.get("created_at"),
                }
                return [self._chunk({"role": "assistant", "content": ""})]
            case "response.output_text.delta":
                return [self._chunk({"content": delta})]
            case "response.refusal.delta":
                return [self._chunk({"refusal": delta})]
            case "response.output_item.added":
                return self._open(event.get("output_index"), event.get("item"))
            case "response.function_call_arguments.delta":
                return self._continue(event.get("output_index"), delta)
            case kind if kind in _THOUGHTS:
                return [self._chunk({"reasoning_content": delta})]
            case kind if kind in _ENDINGS:
                return self._end(response)
        return []

    def close(self) -> list[dict[str, Any]]:
        """Nothing: without its last event a response is not whole."""
        return []

    def _open(self, index: Any, item: Any) -> list[dict[str, Any]]:
        if not isinstance(item, Mapping) or item.get("type") != "function_call":
            return []
        self._calls[index] = len(self._calls)
        function = {"name": item.get("name"), "arguments": item.get("arguments") or ""}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        return [self._chunk({"tool_calls": [{"index": self._calls[index], **call}]})]

    def _continue(self, index: Any, delta: Any) -> list[dict[str, Any]]:
        if index not in self._calls:
            return []
        call = {"index": self._calls[index], "function": {"arguments": delta}}
        return [self._chunk({"tool_calls": [call]})]

    def _end(self, response: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.ended = True
        finish = finish_reason_of(response, calls=bool(self._calls))
        usage = usage_from_response(response.get("usage"))
        closing = [] if finish is None else [self._chunk({}, finish)]
        return [*closing, {**self._head, "choices": [], "usage": usage}]

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head, "choices": [choice]}


class _Item:
    """An item of the output while it grows; ``part``: the kind of its content, if any."""

    def __init__(self, index: int, item: dict[str, Any], part: str) -> None:
        self.index, self.item, self.part = index, item, part
        self.text = ""


class ResponseWriter:
    """Events of a response out of chunks; of several choices only the first."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        """``asked``: the request's body, of which a response repeats parts."""
        self._asked = asked
        self._number = 0
        self._head: dict[str, Any] | None = None
        self._items: dict[str, _Item] = {}
        self._finish: str | None = None
        self._usage: Any = None

    def feed(self, chunk: Mapping[str, Any]) -> list[bytes]:
        """The events that a chunk gives."""
        events = [] if self._head is not None else self._start(chunk)
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) == 0:
                self._finish = choice.get("finish_reason") or self._finish
                events += self._take(choice.get("delta") or {})
        return events

    def finish(self) -> list[bytes]:
        """The end of every item, and of the response."""
        events = [] if self._head is not None else self._start({})
        for item in self._items.values():
            events += self._close(item)
        response = self._write([item.item for item in self._items.values()])
        return [*events, Last(self._event(f"response.{response['status']}", response=response))]

    @property
    def number(self) -> int:
        """The next event's number."""
        return self._number

    def _start(self, chunk: Mapping[str, Any]) -> list[bytes]:
        self._head = {
            "key": stem_of(chunk.get("id")),
            "created": chunk.get("created") or 0,
            "model": chunk.get("model"),
        }
        response = self._write([], status="in_progress")
        kinds = ("response.created", "response.in_progress")
        return [self._event(kind, response=response) for kind in kinds]

    def _write(self, output: list[dict[str, Any]], status: str | None = None) -> dict[str, Any]:
        head = self._head or {}
        return write_response(
            head["key"],
            self._asked,
            created=head["created"],
            model=head["model"],
            output=output,
            finish=self._finish,
            usage=self._usage,
            status=status,
        )

    def _take(self, delta: Mapping[str, Any]) -> list[bytes]:
        events: list[bytes] = []
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        for kind, text in (
            ("reasoning_text", thought),
            ("output_text", delta.get("content")),
            ("refusal", delta.get("refusal")),
        ):
            if isinstance(text, str) and text:
                events += self._grow(kind, text)
        for call in delta.get("tool_calls") or []:
            events += self._grow_call(call)
        return events

    def _grow(self, kind: str, text: str) -> list[bytes]:
        events: list[bytes] = []
        item = self._items.get(kind)
        if item is None:
            events, item = self._open(kind)
        item.text += text
        more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        return [*events, self._item_event(f"response.{kind}.delta", item, delta=text, **more)]

    def _open(self, kind: str) -> tuple[list[bytes], _Item]:
        index, key = len(self._items), (self._head or {})["key"]
        if kind == "reasoning_text":
            shell = reasoning_item(f"rs_{key}_{index}", "")
        else:
            shell = message_item(f"msg_{key}_{index}", [], "in_progress")
        item = self._items[kind] = _Item(index, shell, kind)
        events = [self._event("response.output_item.added", output_index=index, item=shell)]
        part = _part_of(kind, "")
        events.append(self._item_event("response.content_part.added", item, part=part))
        return events, item

    def _grow_call(self, given: Mapping[str, Any]) -> list[bytes]:
        name, function = f"call {given.get('index', 0)}", given.get("function") or {}
        events: list[bytes] = []
        item = self._items.get(name)
        if item is None:
            index, key = len(self._items), (self._head or {})["key"]
            shell = call_item(
                f"fc_{key}_{index}",
                call_id=given.get("id") or f"call_{key}_{index}",
                name=function.get("name") or "",
                arguments="",
                status="in_progress",
            )
            item = self._items[name] = _Item(index, shell, "")
            events.append(self._event("response.output_item.added", output_index=index, item=shell))
        part = function.get("arguments")
        if isinstance(part, str) and part:
            item.text += part
            kind = "response.function_call_arguments.delta"
            events.append(self._event(kind, **_place(item), delta=part))
        return events

    def _close(self, item: _Item) -> list[bytes]:
        """The end of an item, which from now on is as it will be told in the whole response."""
        if not item.part:
            item.item = {**item.item, "status": "completed", "arguments": item.text}
            name = item.item["name"]
            kind = "response.function_call_arguments.done"
            place = _place(item)
            events = [self._event(kind, **place, arguments=item.text, name=name)]
        else:
            part = _part_of(item.part, item.text)
            item.item = {**item.item, "content": [part]}
            if item.item["type"] == "message":
                item.item["status"] = "completed"
            key = "refusal" if item.part == "refusal" else "text"
            more: dict[str, Any] = {"logprobs": []} if item.part == "output_text" else {}
            kind = f"response.{item.part}.done"
            events = [
                self._item_event(kind, item, **{key: item.text}, **more),
                self._item_event("response.content_part.done", item, part=part),
            ]
        kind = "response.output_item.done"
        return [*events, self._event(kind, output_index=item.index, item=item.item)]

    def _item_event(self, kind: str, item: _Item, **fields: Any) -> bytes:
        return self._event(kind, **_place(item), content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return encode(data, event=kind)


def _place(item: _Item) -> dict[str, Any]:
    return {"item_id": item.item["id"], "output_index": item.index}


def _part_of(kind: str, text: str) -> dict[str, Any]:
    if kind == "reasoning_text":
        return {"type": "reasoning_text", "text": text}
    return refusal_part(text) if kind == "refusal" else text_part(text)
