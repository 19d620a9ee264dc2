"""What an upstream is sent: the request as it came where it speaks that form, else translated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from router.errors import BadRequest
from router.wire.fields import untranslatable
from router.wire.form import Form, Native, Untranslatable, translating
from router.wire.messages.outgoing import messages_from_chat
from router.wire.responses.incoming import hangs_on_state

Dialect = Literal["openai", "anthropic"]
"""What an upstream speaks: which forms it has, and how it is told the key."""

_VERSION = "2023-06-01"
"""Of Anthropic's API, where the client named none."""

_WITH_STREAM_OPTIONS = (Form.CHAT, Form.COMPLETIONS)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request on its way to an upstream: in which form, and the headers that belong to it."""

    form: Form
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def write_call(
    dialect: Dialect, body: Mapping[str, Any], native: Native | None, *, model: str, stream: bool
) -> Call:
    """The request for an upstream that speaks ``dialect`` and calls its model ``model``.

    ``body``: the request as chat completions; ``native``: as it came, where in another form. A
    stream is always asked for its usage. Raises ``BadRequest`` where the dialect can't say it.
    """
    call = _to_openai(body, native) if dialect == "openai" else _to_anthropic(body, native)
    asked = {**call.body, "model": model}
    asked.pop("stream_options", None)
    if stream:
        asked["stream"] = True
        given = call.body.get("stream_options")
        options = dict(given) if isinstance(given, Mapping) else {}
        if call.form in _WITH_STREAM_OPTIONS:
            options["include_usage"] = True
        if options:
            asked["stream_options"] = options
    elif asked.get("stream"):
        asked["stream"] = False
    return Call(form=call.form, body=asked, headers=call.headers)


def write_key(dialect: Dialect, api_key: str | None) -> dict[str, str]:
    """The headers that tell an upstream the key."""
    if not api_key:
        return {}
    if dialect == "anthropic":
        return {"x-api-key": api_key}
    return {"Authorization": f"Bearer {api_key}"}


def _to_openai(body: Mapping[str, Any], native: Native | None) -> Call:
    if native is None or native.form is Form.MESSAGES:
        return Call(form=Form.CHAT, body=dict(body))
    return Call(form=native.form, body=dict(native.body))


def _to_anthropic(body: Mapping[str, Any], native: Native | None) -> Call:
    if native is not None and native.form is Form.MESSAGES:
        headers = {"anthropic-version": _VERSION, **native.headers}
        return Call(form=Form.MESSAGES, body=dict(native.body), headers=headers)
    headers = {"anthropic-version": _VERSION}
    whole = native is not None and native.form is Form.RESPONSES and not hangs_on_state(native.body)
    if native is None or whole:
        try:
            with translating():
                return Call(form=Form.MESSAGES, body=messages_from_chat(body), headers=headers)
        except Untranslatable as error:
            raise untranslatable(error) from None
    what = "keeps no state to go on from" if native.form is Form.RESPONSES else "has no such thing"
    raise BadRequest(
        f"The model's upstream speaks Anthropic's dialect, which {what}: ask a model whose upstream"
        " speaks OpenAI's.",
        param="model",
        code="unsupported_by_model",
    )
