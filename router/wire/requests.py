"""Reading chat-completions requests: what the gateway must understand, and nothing more.

Every other field of a body is the upstream's business and is kept as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.types import Shape
from router.wire.fields import invalid, load_body, missing, read_flag, read_text, wrong_type
from router.wire.form import Form, Native
from router.wire.options import Options, read_options
from router.wire.strict_json import make_well_formed

MAX_INPUT_CHARS = 2_000
_INSTRUCTING_ROLES = ("system", "developer")
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
class ChatRequest:
    """A request that was checked, in the form of chat completions, whatever form it came in.

    ``body`` no longer holds ``tutelage``. ``native``: what was sent, where it came in another form;
    ``pinned``: why nobody but the teacher can answer, a reason as in the trace; ``learnable``: the
    body holds everything that the answer hangs on.
    """

    body: dict[str, Any]
    model: str
    stream: bool
    include_usage: bool
    n: int
    messages: list[dict[str, Any]]
    options: Options
    native: Native | None = None
    pinned: str | None = None
    learnable: bool = True

    @property
    def form(self) -> Form:
        """The form in which the client speaks and is answered."""
        return Form.CHAT if self.native is None else self.native.form


def parse_chat(raw: bytes) -> ChatRequest:
    """Read the body of ``POST /v1/chat/completions``.

    Raises ``BadRequest`` whose ``param`` names the field at fault.
    """
    body = load_body(raw)
    options = read_options(body.pop("tutelage", None))
    return ChatRequest(
        body=body,
        model=read_text(body, "model"),
        stream=read_flag(body, "stream", default=False),
        include_usage=read_include_usage(body),
        n=read_choices(body),
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
        if not message.get("tool_calls"):
            return make_well_formed(content)
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


def read_include_usage(body: dict[str, Any]) -> bool:
    """Whether the client asked for a chunk with the usage."""
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise wrong_type("stream_options", "an object", options)
    return read_flag(options, "include_usage", default=False, prefix="stream_options.")


def read_choices(body: dict[str, Any]) -> int:
    """How many answers the client asked for."""
    n = body.get("n")
    if n is None:
        return 1
    if isinstance(n, bool) or not isinstance(n, int):
        raise wrong_type("n", "an integer", n)
    if n < 1:
        raise invalid("n", "integer_below_min_value", "{} must be at least 1.")
    return n


def _read_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if messages is None:
        raise missing("messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise invalid("messages", "empty_array", "{} must hold at least one message.")
    for i, message in enumerate(messages):
        _check_message(message, f"messages[{i}]")
    return messages


def _check_message(message: Any, param: str) -> None:
    if not isinstance(message, dict):
        raise wrong_type(param, "an object", message)
    if message.get("role") is None:
        raise missing(f"{param}.role")
    if not isinstance(message["role"], str):
        raise wrong_type(f"{param}.role", "a string", message["role"])
    content = message.get("content")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(f"{param}.content", "a string or an array of objects", content)
    for i, part in enumerate(content):
        where = f"{param}.content[{i}]"
        if not isinstance(part, dict):
            raise wrong_type(where, "an object", part)
        if not isinstance(part.get("type"), str):
            raise wrong_type(f"{where}.type", "a string", part.get("type"))
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise wrong_type(f"{where}.text", "a string", part.get("text"))
