"""Chat completions, written as requests of Anthropic's Messages form.

What the form can't say and what would change the answer is refused by name; what is only a hint
(``seed``, ``user``, ``store``) is left out; fields that nobody here knows are forwarded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from router.errors import BadRequest

DEFAULT_MAX_TOKENS = 8_192
"""The form requires a limit; this one stands where the client gave none."""

_SAME = ("model", "stream", "temperature", "top_p", "top_k")
_LEFT_OUT = frozenset(
    {
        *("stream_options", "seed", "user", "safety_identifier", "store", "metadata", "verbosity"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier"),
    }
)
_TRANSLATED = frozenset(
    {
        *("messages", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice"),
        *("parallel_tool_calls", "reasoning_effort", "response_format"),
    }
)
_REFUSED: Mapping[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "modalities": (None, [], ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "functions": (None, []),
    "function_call": (None,),
    "web_search_options": (None,),
    "moderation": (None,),
}
"""Fields without a counterpart, and the values that mean nothing by them."""

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_EFFORTS = {"minimal": "low"}


def messages_from_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request for an upstream of this form. Raises ``BadRequest`` that names the field."""
    for key, harmless in _REFUSED.items():
        if key in body and body[key] not in harmless:
            raise _unsupported(key)
    asked: dict[str, Any] = {key: body[key] for key in _SAME if key in body}
    system, asked["messages"] = _write_turns(body.get("messages") or [])
    if system:
        asked["system"] = "\n\n".join(system)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    asked["max_tokens"] = limit or DEFAULT_MAX_TOKENS
    stop = body.get("stop")
    if stop:
        asked["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if body.get("tools"):
        asked["tools"] = [_write_tool(tool) for tool in body["tools"]]
        asked.update(_write_tool_choice(body))
    output = _write_output(body)
    if output:
        asked["output_config"] = output
    if isinstance(body.get("user"), str):
        asked["metadata"] = {"user_id": body["user"]}
    known = _TRANSLATED.union(_SAME, _LEFT_OUT, _REFUSED)
    return asked | {key: value for key, value in body.items() if key not in known}


def _unsupported(param: str) -> BadRequest:
    return BadRequest(
        f"The model's upstream speaks Anthropic's dialect, which has nothing for '{param}': leave"
        " it out, or ask a model whose upstream speaks OpenAI's.",
        param=param,
        code="unsupported_parameter",
    )


def _write_turns(messages: list[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """The instructions, wherever they stood, and the turns; neighbours of one role are joined."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    for i, message in enumerate(messages):
        where, role = f"messages[{i}]", message.get("role")
        if role in ("system", "developer"):
            texts = [b["text"] for b in _write_content(message.get("content"), where)]
            system.append("\n".join(texts))
            continue
        if role == "tool":
            blocks = [_write_tool_result(message, where)]
        elif role == "assistant":
            blocks = _write_assistant(message, where)
        elif role == "user":
            blocks = _write_content(message.get("content"), where)
        else:
            raise _unsupported(f"{where}.role")
        speaker = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] = [*turns[-1]["content"], *blocks]
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    return [text for text in system if text], turns


def _write_tool_result(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, str):
        content = _write_content(content, where)
    return {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": content}


def _write_assistant(message: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    given = message.get("thinking_blocks")
    blocks = [block for block in given if block] if isinstance(given, list) else []
    blocks += _write_content(message.get("content") or message.get("refusal"), where)
    for k, call in enumerate(message.get("tool_calls") or []):
        function = call.get("function")
        if not isinstance(function, Mapping):
            raise _unsupported(f"{where}.tool_calls[{k}]")
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": _read_arguments(function.get("arguments"), f"{where}.tool_calls[{k}]"),
            }
        )
    return blocks


def _read_arguments(arguments: Any, where: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments) if arguments else {}
    except (TypeError, ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    raise BadRequest(
        f"'{where}.function.arguments' is not a JSON object, which this model's upstream requires.",
        param=f"{where}.function.arguments",
        code="invalid_value",
    )


def _write_content(content: Any, where: str) -> list[dict[str, Any]]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_write_part(part, f"{where}.content[{i}]") for i, part in enumerate(content)]


def _write_part(part: dict[str, Any], where: str) -> dict[str, Any]:
    match part.get("type"):
        case "text":
            block = {"type": "text", "text": part["text"]}
            # Clients that know what answers behind the gateway mark what is to be cached.
            marked = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
            return block | marked
        case "refusal":
            return {"type": "text", "text": part.get("refusal")}
        case "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, Mapping) else image
            return {"type": "image", "source": _source_of(url, where)}
        case "file":
            file = part.get("file")
            data = file.get("file_data") if isinstance(file, Mapping) else None
            return {"type": "document", "source": _source_of(data, where)}
        case _:
            raise _unsupported(where)


def _source_of(url: Any, where: str) -> dict[str, Any]:
    if not isinstance(url, str):
        raise _unsupported(where)
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    if not data:
        raise _unsupported(where)
    return {"type": "base64", "media_type": kind, "data": data}


def _write_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool  # one that the server runs, in its own words
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    written = {"name": function.get("name"), "input_schema": schema}
    return written | {key: function[key] for key in ("description", "strict") if key in function}


def _write_tool_choice(body: Mapping[str, Any]) -> dict[str, Any]:
    given = body.get("tool_choice")
    choice: dict[str, Any] = {"type": "auto"}
    if isinstance(given, str):
        choice = {"type": _CHOICES.get(given, given)}
    elif isinstance(given, Mapping):
        function = given.get("function")
        if not isinstance(function, Mapping):
            raise _unsupported("tool_choice")
        choice = {"type": "tool", "name": function.get("name")}
    if body.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {} if choice == {"type": "auto"} else {"tool_choice": choice}


def _write_output(body: Mapping[str, Any]) -> dict[str, Any]:
    """Effort and format of the answer."""
    output: dict[str, Any] = {}
    effort = body.get("reasoning_effort")
    if isinstance(effort, str) and effort != "none":
        output["effort"] = _EFFORTS.get(effort, effort)
    wanted = body.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") == "text":
        return output
    schema = wanted.get("json_schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, Mapping):
        raise _unsupported("response_format")
    output["format"] = {"type": "json_schema", "schema": schema.get("schema")}
    return output
