"""Requests of OpenAI's Responses form, read into chat completions.

What hangs on state that the teacher's server keeps (an earlier response, a conversation, a stored
prompt, a run in the background) can be answered by the teacher alone. So can what is to be stored
there, which the form does unless ``store`` is false: the client may go on from the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from router.wire.fields import load_body, read_flag, read_text, untranslatable, wrong_type
from router.wire.form import Form, Native, Untranslatable, translating
from router.wire.options import read_options
from router.wire.requests import ChatRequest

SERVER_STATE = "server_state"
"""The reason in the trace of what only the teacher's server can go on from."""

_STATE_KEYS = ("previous_response_id", "conversation", "prompt", "background")
_SAME = (
    *("model", "stream", "temperature", "top_p", "parallel_tool_calls", "user", "store"),
    *("metadata", "service_tier", "safety_identifier", "prompt_cache_key"),
    *("prompt_cache_options", "prompt_cache_retention", "moderation"),
)
_TRANSLATED = frozenset(
    {
        *("input", "instructions", "tools", "tool_choice", "text", "max_output_tokens"),
        *("reasoning", "top_logprobs", "include", "stream_options", "truncation"),
        *_STATE_KEYS,
    }
)
_TEXT_PARTS = ("input_text", "output_text", "text")


def parse_responses(raw: bytes) -> ChatRequest:
    """Read the body of ``POST /v1/responses``. Raises ``BadRequest`` that names the field.

    The form doesn't require ``model``: without one it is ``auto``.
    """
    body = load_body(raw)
    options = read_options(body.pop("tutelage", None))
    model = "auto" if body.get("model") is None else read_text(body, "model")
    given = body.get("input")
    if given is not None and not isinstance(given, (str, list)):
        raise wrong_type("input", "a string or an array of objects", given)
    for i, item in enumerate(given if isinstance(given, list) else ()):
        if not isinstance(item, dict):
            raise wrong_type(f"input[{i}]", "an object", item)
    if not isinstance(body.get("tools"), (list, type(None))):
        raise wrong_type("tools", "an array of objects", body["tools"])
    stream = read_flag(body, "stream", default=False)
    stored = read_flag(body, "store", default=True)
    state = hangs_on_state(body)
    try:
        with translating():
            chat = chat_from_responses(body)
    except Untranslatable as error:
        raise untranslatable(error) from None
    return ChatRequest(
        body=chat,
        model=model,
        stream=stream,
        include_usage=True,
        n=1,
        messages=chat["messages"],
        options=options,
        native=Native(form=Form.RESPONSES, body=body),
        pinned=SERVER_STATE if state or stored else None,
        learnable=not state,
    )


def hangs_on_state(body: Mapping[str, Any]) -> bool:
    """Whether the answer hangs on something that the teacher's server keeps."""
    given = body.get("input")
    items = given if isinstance(given, list) else []
    referred = any(isinstance(i, dict) and i.get("type") == "item_reference" for i in items)
    return referred or any(body.get(key) not in (None, False) for key in _STATE_KEYS)


def goes_on(native: Native | None) -> bool:
    """Whether a request goes on from what an earlier one left at the teacher's server, or leaves
    there what its client must fetch."""
    if native is None or native.form not in (Form.RESPONSES, Form.COMPACTION):
        return False
    return hangs_on_state({key: value for key, value in native.body.items() if key != "prompt"})


def chat_from_responses(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same request as a chat-completions body, as far as it has a counterpart there.

    Items and tools without one are kept as they came, which no draft can stand for.
    """
    chat: dict[str, Any] = {key: body[key] for key in _SAME if body.get(key) is not None}
    instructions = body.get("instructions")
    opening = [{"role": "system", "content": instructions}] if instructions else []
    chat["messages"] = [*opening, *_read_input(body.get("input"))]
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    if body.get("tools"):
        chat["tools"] = [_read_tool(tool) for tool in body["tools"]]
    if body.get("tool_choice") is not None:
        chat["tool_choice"] = _read_tool_choice(body["tool_choice"])
    if body.get("top_logprobs"):
        chat |= {"logprobs": True, "top_logprobs": body["top_logprobs"]}
    chat.update(_read_text_options(body.get("text")))
    reasoning = body.get("reasoning")
    if isinstance(reasoning, Mapping) and reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]
    known = _TRANSLATED.union(_SAME)
    return chat | {key: value for key, value in body.items() if key not in known}


def _read_input(given: Any) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    messages: list[dict[str, Any]] = []
    for item in given or []:
        for message in _read_item(item):
            last = messages[-1] if messages else {}
            # Calls follow what was said in items of their own, and are one message there.
            if "tool_calls" in message and last.get("role") == "assistant":
                last["tool_calls"] = [*last.get("tool_calls", []), *message["tool_calls"]]
            else:
                messages.append(message)
    return messages


def _read_item(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match item.get("type", "message"):
        case "message":
            content = item.get("content")
            if isinstance(content, list):
                content = _read_parts(content)
            yield {"role": item.get("role", "user"), "content": content}
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            yield {"role": "assistant", "content": None, "tool_calls": [call]}
        case "function_call_output":
            output = item.get("output")
            content = _read_parts(output) if isinstance(output, list) else output
            yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
        case "reasoning":
            pass  # another model's thinking is of no use to this one
        case _:
            yield {"role": "user", "content": [item]}


def _read_parts(parts: list[Any]) -> Any:
    read = [_read_part(part) for part in parts if isinstance(part, dict)]
    if len(read) == 1 and read[0].get("type") == "text":
        return read[0]["text"]
    return read


def _read_part(part: dict[str, Any]) -> dict[str, Any]:
    match part.get("type"):
        case kind if kind in _TEXT_PARTS and isinstance(part.get("text"), str):
            return {"type": "text", "text": part["text"]}
        case "input_image" if part.get("image_url"):
            image = {"url": part["image_url"]}
            if part.get("detail"):
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        case "input_file":
            keys = ("file_id", "filename", "file_data")
            return {"type": "file", "file": {key: part[key] for key in keys if part.get(key)}}
        case _:
            return part


def _read_tool(tool: Any) -> Any:
    if not isinstance(tool, Mapping) or tool.get("type") != "function":
        return tool  # one that the server runs
    keys = ("name", "description", "parameters", "strict")
    function = {key: tool[key] for key in keys if tool.get(key) is not None}
    return {"type": "function", "function": function}


def _read_tool_choice(choice: Any) -> Any:
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    return choice


def _read_text_options(text: Any) -> dict[str, Any]:
    if not isinstance(text, Mapping):
        return {}
    chat = {} if text.get("verbosity") is None else {"verbosity": text["verbosity"]}
    wanted = text.get("format")
    if not isinstance(wanted, Mapping) or wanted.get("type") == "text":
        return chat
    if wanted.get("type") != "json_schema":
        return {**chat, "response_format": dict(wanted)}
    schema = {key: value for key, value in wanted.items() if key != "type"}
    return {**chat, "response_format": {"type": "json_schema", "json_schema": schema}}
