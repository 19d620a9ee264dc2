"""Requests of Anthropic's Messages form, read into chat completions.

What has no counterpart there and changes the answer is kept as it came, so that an upstream which
doesn't know it says so. ``cache_control`` and signed thinking only reach an upstream of the same
form, which gets the request as it was sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from router.wire.fields import (
    invalid,
    load_body,
    missing,
    read_flag,
    read_text,
    untranslatable,
    wrong_type,
)
from router.wire.form import Form, Native, Untranslatable, translating
from router.wire.options import read_options
from router.wire.requests import ChatRequest

_FORM_HEADERS = ("anthropic-version", "anthropic-beta")
_SAME = ("model", "stream", "temperature", "top_p", "top_k")
_TRANSLATED = frozenset(
    {
        *("system", "messages", "max_tokens", "stop_sequences", "tools", "tool_choice"),
        *("thinking", "output_config", "metadata", "cache_control"),
    }
)
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS = {"max": "xhigh"}
_LOW_BUDGET, _MEDIUM_BUDGET = 4_096, 16_384
"""Thinking tokens below which an effort is low, or medium."""


def parse_messages(raw: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """Read the body of ``POST /v1/messages``. Raises ``BadRequest`` that names the field."""
    body = load_body(raw)
    options = read_options(body.pop("tutelage", None))
    if body.get("max_tokens") is None:
        raise missing("max_tokens")
    if isinstance(body["max_tokens"], bool) or not isinstance(body["max_tokens"], int):
        raise wrong_type("max_tokens", "an integer", body["max_tokens"])
    if body["max_tokens"] < 0:
        raise invalid("max_tokens", "integer_below_min_value", "{} must not be negative.")
    return _request(body, headers, options, stream=read_flag(body, "stream", default=False))


def parse_count(raw: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """Read the body of ``POST /v1/messages/count_tokens``; it is never a stream."""
    body = load_body(raw)
    options = read_options(body.pop("tutelage", None))
    return _request(body, headers, options, stream=False)


def _request(
    body: dict[str, Any], headers: Mapping[str, str], options: Any, *, stream: bool
) -> ChatRequest:
    model = read_text(body, "model")
    _check_messages(body)
    try:
        with translating():
            chat = chat_from_messages(body)
    except Untranslatable as error:
        raise untranslatable(error) from None
    carried = {name: headers[name] for name in _FORM_HEADERS if name in headers}
    return ChatRequest(
        body=chat,
        model=model,
        stream=stream,
        include_usage=True,
        n=1,
        messages=chat["messages"],
        options=options,
        native=Native(form=Form.MESSAGES, body=body, headers=carried),
    )


def chat_from_messages(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same request as a chat-completions body."""
    chat: dict[str, Any] = {key: body[key] for key in _SAME if key in body}
    chat["messages"] = [*_read_system(body.get("system")), *_read_turns(body["messages"])]
    if body.get("max_tokens") is not None:
        chat["max_completion_tokens"] = body["max_tokens"]
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    if body.get("tools"):
        chat["tools"] = [_read_tool(tool) for tool in _objects(body["tools"])]
    chat.update(_read_tool_choice(body.get("tool_choice")))
    chat.update(_read_thinking(body))
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("user_id"), str):
        chat["user"] = metadata["user_id"]
    known = _TRANSLATED.union(_SAME)
    return chat | {key: value for key, value in body.items() if key not in known}


def _check_messages(body: dict[str, Any]) -> None:
    messages = body.get("messages")
    if messages is None:
        raise missing("messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise invalid("messages", "empty_array", "{} must hold at least one message.")
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        if not isinstance(message, dict):
            raise wrong_type(where, "an object", message)
        if message.get("role") not in ("user", "assistant", "system"):
            raise invalid(f"{where}.role", "invalid_value", "{} must be 'user' or 'assistant'.")
        _check_blocks(message.get("content"), f"{where}.content")
    if body.get("system") is not None:
        _check_blocks(body["system"], "system")


def _check_blocks(content: Any, where: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(where, "a string or an array of objects", content)
    for i, block in enumerate(content):
        if not isinstance(block, dict):
            raise wrong_type(f"{where}[{i}]", "an object", block)
        if not isinstance(block.get("type"), str):
            raise wrong_type(f"{where}[{i}].type", "a string", block.get("type"))
        if block["type"] == "text" and not isinstance(block.get("text"), str):
            raise wrong_type(f"{where}[{i}].text", "a string", block.get("text"))


def _read_system(system: Any) -> Iterator[dict[str, Any]]:
    if isinstance(system, str):
        if system:
            yield {"role": "system", "content": system}
        return
    texts = [block["text"] for block in _objects(system) if block.get("type") == "text"]
    if texts:
        yield {"role": "system", "content": "\n\n".join(texts)}


def _read_turns(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        role, content = message["role"], message["content"]
        if isinstance(content, str):
            yield {"role": role, "content": content}
        elif role == "assistant":
            yield _read_assistant(content)
        else:
            yield from _read_user(role, content)


def _read_assistant(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    texts, calls, others = [], [], []
    for block in blocks:
        match block["type"]:
            case "text":
                texts.append(block["text"])
            case "tool_use":
                arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
                function = {"name": block.get("name"), "arguments": arguments}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
            case "thinking" | "redacted_thinking":
                pass  # another model's thinking is of no use to this one
            case _:
                others.append(block)
    content: Any = "".join(texts) if texts else None
    if others:
        content = [*({"type": "text", "text": text} for text in texts), *others]
    message = {"role": "assistant", "content": content}
    return {**message, "tool_calls": calls} if calls else message


def _read_user(role: str, blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Results of tools first, each a message of its own, then what the user says."""
    parts = []
    for block in blocks:
        if block["type"] == "tool_result":
            yield from _read_tool_result(block)
        else:
            parts.append(_read_part(block))
    if len(parts) == 1 and parts[0]["type"] == "text":
        yield {"role": role, "content": parts[0]["text"]}
    elif parts:
        yield {"role": role, "content": parts}


def _read_tool_result(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = block.get("content")
    message = {"role": "tool", "tool_call_id": block.get("tool_use_id")}
    if content is None or isinstance(content, str):
        yield {**message, "content": content or ""}
        return
    parts = [_read_part(part) for part in _objects(content)]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    yield {**message, "content": "\n".join(texts)}
    # A tool's message holds text alone; a picture that a tool gave is shown by the user.
    others = [part for part in parts if part["type"] != "text"]
    if others:
        yield {"role": "user", "content": others}


def _read_part(block: dict[str, Any]) -> dict[str, Any]:
    """A block as a part of a message; one without a counterpart stays as it is."""
    source = block.get("source")
    source = source if isinstance(source, Mapping) else {}
    match (block.get("type"), source.get("type")):
        case ("text", _):
            return {"type": "text", "text": block["text"]}
        case ("image", "base64" | "url"):
            return {"type": "image_url", "image_url": {"url": _url_of(source)}}
        case ("document", "text"):
            return {"type": "text", "text": str(source.get("data"))}
        case ("document", "base64"):
            name = block.get("title") or "document.pdf"
            return {"type": "file", "file": {"filename": name, "file_data": _url_of(source)}}
        case _:
            return block


def _url_of(source: Mapping[str, Any]) -> str:
    if source.get("type") == "url":
        return str(source.get("url"))
    return f"data:{source.get('media_type')};base64,{source.get('data')}"


def _read_tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        return tool  # one that the server runs
    function = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {}}
    function |= {key: tool[key] for key in ("description", "strict") if key in tool}
    return {"type": "function", "function": function}


def _read_tool_choice(choice: Any) -> dict[str, Any]:
    if not isinstance(choice, Mapping):
        return {}
    if choice.get("type") == "tool":
        named = {"type": "function", "function": {"name": choice.get("name")}}
        chat: dict[str, Any] = {"tool_choice": named}
    else:
        chat = {"tool_choice": _CHOICES.get(str(choice.get("type")), choice.get("type"))}
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False
    return chat


def _read_thinking(body: Mapping[str, Any]) -> dict[str, Any]:
    """Effort and the answer's format; a budget of thinking counts as an effort."""
    chat: dict[str, Any] = {}
    thinking = body.get("thinking")
    if isinstance(thinking, Mapping) and thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        budget = budget if isinstance(budget, int) else 0
        chat["reasoning_effort"] = (
            "low" if budget < _LOW_BUDGET else "medium" if budget < _MEDIUM_BUDGET else "high"
        )
    output = body.get("output_config")
    if not isinstance(output, Mapping):
        return chat
    effort = output.get("effort")
    if isinstance(effort, str):
        chat["reasoning_effort"] = _EFFORTS.get(effort, effort)
    wanted = output.get("format")
    if isinstance(wanted, Mapping):
        schema = {"name": "answer", "schema": wanted.get("schema"), "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    return chat


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
