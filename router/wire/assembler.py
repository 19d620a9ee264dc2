"""Putting a streamed answer together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.types import Answer
from router.wire.answers import answer_from_message


class StreamAssembler:
    """Collects ``chat.completion.chunk`` objects; ``answer`` is that of the first choice.

    Knows the liberties servers take: a null delta, calls without an index, several calls under
    one index told apart by their ids, a name repeated in every delta, usage in every chunk (the
    last one counts).
    """

    def __init__(self, *, n: int = 1) -> None:
        """``n``: how many choices the request asked for."""
        self._n = n
        self._texts: dict[str, list[str]] = {}
        self._calls: list[_CallParts] = []
        self._call_by_index: dict[int, _CallParts] = {}
        self._finish_reasons: dict[int, str] = {}
        self.usage: dict[str, Any] | None = None
        self.model: str | None = None
        self.chunks = 0

    def feed(self, chunk: Mapping[str, Any]) -> None:
        """Take one chunk, as JSON is read; what doesn't have the expected form is passed over."""
        self.chunks += 1
        if self.model is None and isinstance(chunk.get("model"), str):
            self.model = chunk["model"]
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._feed_choice(choice)

    @property
    def answer(self) -> Answer:
        """The first choice's answer as far as it has come."""
        message: dict[str, Any] = {key: "".join(parts) for key, parts in self._texts.items()}
        calls = [call.as_json() for call in self._calls if call.begun]
        message["tool_calls"] = calls
        if not message.get("content") and calls:
            message["content"] = None  # many servers open a call with an empty text
        if not message.get("refusal"):
            message["refusal"] = None
        return answer_from_message(message, self.finish_reason)

    @property
    def begun(self) -> bool:
        """Something of the first choice's answer has come: many streams open with an empty text."""
        return bool(self._calls) or any(map(any, self._texts.values()))

    @property
    def finish_reason(self) -> str | None:
        """The first choice's finish reason, once it was seen."""
        return self._finish_reasons.get(0)

    @property
    def whole(self) -> bool:
        """Every choice that was asked for has its finish reason."""
        return len(self._finish_reasons) >= self._n

    def _feed_choice(self, choice: Mapping[str, Any]) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if isinstance(choice.get("finish_reason"), str):
            self._finish_reasons[index] = choice["finish_reason"]
        delta = choice.get("delta")
        if index != 0 or not isinstance(delta, dict):
            return
        for key in ("content", "refusal"):
            if isinstance(delta.get(key), str):
                self._texts.setdefault(key, []).append(delta[key])
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._part_for(call).feed(call)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            call = {"index": 0, "function": legacy}
            self._part_for(call).feed(call)

    def _part_for(self, call: Mapping[str, Any]) -> _CallParts:
        index, call_id = call.get("index"), call.get("id")
        if isinstance(index, int):
            known = self._call_by_index.get(index)
        else:
            index = len(self._calls)
            known = self._calls[-1] if self._calls else None
        if known is not None and not (call_id and known.id and call_id != known.id):
            return known
        part = _CallParts()
        self._calls.append(part)
        self._call_by_index[index] = part
        return part


class _CallParts:
    """One tool call while its deltas arrive."""

    def __init__(self) -> None:
        self.id: str | None = None
        self._name = ""
        self._arguments: list[str] = []

    def feed(self, call: Mapping[str, Any]) -> None:
        if self.id is None and isinstance(call.get("id"), str) and call["id"]:
            self.id = call["id"]
        function = call.get("function")
        if not isinstance(function, Mapping):
            function = call.get("custom")
        if not isinstance(function, Mapping):
            return
        name = function.get("name")
        if isinstance(name, str) and name != self._name:
            self._name += name
        arguments = function.get("arguments", function.get("input"))
        if isinstance(arguments, str):
            self._arguments.append(arguments)

    @property
    def begun(self) -> bool:
        """Something of the call has come."""
        return bool(self.id or self._name or self._arguments)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "function": {"name": self._name, "arguments": "".join(self._arguments)},
        }
