"""Reading chat-completions requests: what the gateway must understand, and nothing more.

Every other field of a body is the upstream's business and is kept as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from policies.types import Shape, Tier
from router.errors import BadRequest
from router.wire.strict_json import JsonError, load_json, make_well_formed

MAX_INPUT_CHARS = 2_000
_INSTRUCTING_ROLES = ("system", "developer")
_OPTION_KEYS = frozenset({"workload", "force", "store", "max_cost_usd"})
_FORCIBLE = {"teacher": Tier.TEACHER, "student": Tier.STUDENT}
_UNCASCADABLE_KEYS = (
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
    "logit_bias",
    "functions",
    "function_call",
    "prediction",
    "audio",
)
"""Body fields that ask for something only the model itself can give, or in a retired form."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a client asks of the gateway for one request, under the body's key ``tutelage``.

    ``force``: teacher or student, whatever the policy says; ``store``: the interaction may be kept;
    ``max_cost_usd``: the request may cost at most this much.
    """

    workload: str | None = None
    force: Tier | None = None
    store: bool = True
    max_cost_usd: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A chat-completions request that was checked; ``body`` no longer holds ``tutelage``."""

    body: dict[str, Any]
    model: str
    stream: bool
    include_usage: bool
    n: int
    messages: list[dict[str, Any]]
    options: Options


def parse_chat(raw: bytes) -> ChatRequest:
    """Read the body of ``POST /v1/chat/completions``.

    Raises ``BadRequest`` whose ``param`` names the field at fault.
    """
    try:
        body = load_json(raw)
    except JsonError as exc:
        raise BadRequest(f"The request body {exc}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequest(
            f"The request body must be a JSON object, but it is {_kind_of(body)}.",
            code="invalid_json",
        )
    options = _read_options(body.pop("tutelage", None))
    return ChatRequest(
        body=body,
        model=_read_model(body),
        stream=_read_flag(body, "stream", default=False),
        include_usage=_read_include_usage(body),
        n=_read_n(body),
        messages=_read_messages(body),
        options=options,
    )


def shape_of(body: Mapping[str, Any]) -> Shape:
    """What of a request decides how two answers to it are compared."""
    wants_json, schema = False, None
    response_format = body.get("response_format")
    if isinstance(response_format, Mapping):
        wants_json = response_format.get("type") in ("json_object", "json_schema")
        wrapper = response_format.get("json_schema")
        if wants_json and isinstance(wrapper, Mapping):
            schema = wrapper.get("schema")
    tools: dict[str, Mapping[str, Any] | None] = {}
    if body.get("tool_choice") != "none":
        for tool in _objects_in(body.get("tools")):
            kind = tool.get("type")
            function = tool.get(kind) if isinstance(kind, str) else None
            if isinstance(function, Mapping) and isinstance(function.get("name"), str):
                parameters = function.get("parameters")
                tools[function["name"]] = parameters if isinstance(parameters, Mapping) else None
    return Shape(
        json=wants_json, json_schema=schema if isinstance(schema, Mapping) else None, tools=tools
    )


def system_prompt(body: Mapping[str, Any]) -> str:
    """The instructions before the first turn: leading system and developer messages, joined."""
    messages = _objects_in(body.get("messages"))
    return "\n\n".join(_text_of(message) for message in messages[: _count_leading(messages)])


def input_text(body: Mapping[str, Any]) -> str:
    """The text that an embedded student reads, at most ``MAX_INPUT_CHARS`` characters.

    A single turn is given as it is. Of a conversation the last user message comes first, since an
    encoder that cuts its input must keep what was asked; the other turns follow, latest first.
    """
    messages = _objects_in(body.get("messages"))
    turns = [
        (str(turn.get("role")), _text_of(turn)) for turn in messages[_count_leading(messages) :]
    ]
    if not turns:
        return ""
    last = max((i for i, (role, _) in enumerate(turns) if role == "user"), default=len(turns) - 1)
    others = [f"{role}: {text}" for i, (role, text) in enumerate(turns) if i != last]
    return "\n".join([turns[last][1], *reversed(others)])[:MAX_INPUT_CHARS]


def user_messages(body: Mapping[str, Any]) -> list[str]:
    """The texts of the messages by the user, oldest first."""
    messages = _objects_in(body.get("messages"))
    return [_text_of(message) for message in messages if message.get("role") == "user"]


def count_prompt_chars(body: Mapping[str, Any]) -> int:
    """Characters of text in all messages; pictures, sound and tools don't count."""
    return sum(len(_text_of(message)) for message in _objects_in(body.get("messages")))


def is_cascadable(body: Mapping[str, Any]) -> bool:
    """Whether a drafted answer could stand for the model's own.

    It could not where several choices, token scores or another medium than text are asked for or
    shown, where a tool is not a function, or where a retired form of tools is used.
    """
    if body.get("n") not in (None, 1):
        return False
    if any(body.get(key) not in (None, False, 0, {}, []) for key in _UNCASCADABLE_KEYS):
        return False
    if body.get("web_search_options") is not None:  # even empty it switches searching on
        return False
    if body.get("modalities") not in (None, [], ["text"]):
        return False
    if any(tool.get("type") != "function" for tool in _objects_in(body.get("tools"))):
        return False
    return all(_is_plain_text(message) for message in _objects_in(body.get("messages")))


def _is_plain_text(message: Mapping[str, Any]) -> bool:
    if message.get("audio") or message.get("function_call") or message.get("role") == "function":
        return False
    content = message.get("content")
    return all(part.get("type") in ("text", "refusal") for part in _objects_in(content))


def _objects_in(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _count_leading(messages: list[dict[str, Any]]) -> int:
    count = 0
    while count < len(messages) and messages[count].get("role") in _INSTRUCTING_ROLES:
        count += 1
    return count


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        texts = [content]
    else:
        texts = [
            str(part.get("text") or part.get("refusal") or "") for part in _objects_in(content)
        ]
    for call in _objects_in(message.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, Mapping):
            texts.append(f"{function.get('name')}({function.get('arguments')})")
    return make_well_formed("\n".join(text for text in texts if text))


def _read_options(given: Any) -> Options:
    if given is None:
        return Options()
    if not isinstance(given, dict):
        raise _wrong_type("tutelage", "an object", given)
    for key in given:
        if key not in _OPTION_KEYS:
            raise _invalid(f"tutelage.{key[:100]}", "unknown_parameter", "Unknown parameter: {}.")
    workload = given.get("workload")
    if workload is not None and not isinstance(workload, str):
        raise _wrong_type("tutelage.workload", "a string", workload)
    if workload == "":
        raise _invalid("tutelage.workload", "invalid_value", "{} must not be empty.")
    return Options(
        workload=workload,
        force=_read_force(given.get("force")),
        store=_read_flag(given, "store", default=True, prefix="tutelage."),
        max_cost_usd=_read_max_cost(given.get("max_cost_usd")),
    )


def _read_force(force: Any) -> Tier | None:
    if force is None:
        return None
    if not isinstance(force, str):
        raise _wrong_type("tutelage.force", "a string", force)
    if force not in _FORCIBLE:
        raise _invalid("tutelage.force", "invalid_value", "{} must be 'teacher' or 'student'.")
    return _FORCIBLE[force]


def _read_max_cost(given: Any) -> Decimal | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise _wrong_type("tutelage.max_cost_usd", "a number", given)
    if given < 0:
        raise _invalid("tutelage.max_cost_usd", "invalid_value", "{} must not be negative.")
    return Decimal(str(given))


def _read_model(body: dict[str, Any]) -> str:
    if body.get("model") is None:
        raise _missing("model")
    model = body["model"]
    if not isinstance(model, str):
        raise _wrong_type("model", "a string", model)
    return model


def _read_flag(body: dict[str, Any], key: str, *, default: bool, prefix: str = "") -> bool:
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _wrong_type(prefix + key, "a boolean", value)
    return value


def _read_include_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise _wrong_type("stream_options", "an object", options)
    return _read_flag(options, "include_usage", default=False, prefix="stream_options.")


def _read_n(body: dict[str, Any]) -> int:
    n = body.get("n")
    if n is None:
        return 1
    if isinstance(n, bool) or not isinstance(n, int):
        raise _wrong_type("n", "an integer", n)
    if n < 1:
        raise _invalid("n", "integer_below_min_value", "{} must be at least 1.")
    return n


def _read_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if messages is None:
        raise _missing("messages")
    if not isinstance(messages, list):
        raise _wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise _invalid("messages", "empty_array", "{} must hold at least one message.")
    for i, message in enumerate(messages):
        _check_message(message, f"messages[{i}]")
    return messages


def _check_message(message: Any, param: str) -> None:
    if not isinstance(message, dict):
        raise _wrong_type(param, "an object", message)
    if message.get("role") is None:
        raise _missing(f"{param}.role")
    if not isinstance(message["role"], str):
        raise _wrong_type(f"{param}.role", "a string", message["role"])
    content = message.get("content")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _wrong_type(f"{param}.content", "a string or an array of objects", content)
    for i, part in enumerate(content):
        where = f"{param}.content[{i}]"
        if not isinstance(part, dict):
            raise _wrong_type(where, "an object", part)
        if not isinstance(part.get("type"), str):
            raise _wrong_type(f"{where}.type", "a string", part.get("type"))
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise _wrong_type(f"{where}.text", "a string", part.get("text"))


def _missing(param: str) -> BadRequest:
    return _invalid(param, "missing_required_parameter", "Missing required parameter: {}.")


def _invalid(param: str, code: str, sentence: str) -> BadRequest:
    return BadRequest(sentence.replace("{}", f"'{param}'", 1), param=param, code=code)


def _wrong_type(param: str, expected: str, value: Any) -> BadRequest:
    return BadRequest(
        f"Invalid type for '{param}': expected {expected}, but got {_kind_of(value)} instead.",
        param=param,
        code="invalid_type",
    )


def _kind_of(value: Any) -> str:
    kinds = {
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return kinds.get(type(value), "null")
