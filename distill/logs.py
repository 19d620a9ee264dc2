"""Logs of OpenAI-format traffic → records, as if the gateway had passed it on.

A line is a JSON object with a request and its answer. Understood are ``{"request", "response"}``
and ``{"body", "response"}`` (also with a ``body`` inside either, as batch files have it, or as JSON
text), ``{"messages": [..., the assistant's]}`` (files to train on), and this project's streams
(``{"request", "teacher"}``).
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.streams import numbered_lines
from policies.compare import choose_comparer
from policies.types import Answer, Tier
from router.auth import Caller
from router.errors import BadRequest
from router.record.model import Interaction
from router.record.redact import Redactor
from router.record.subject import hide_user
from router.settings.model import Settings
from router.wire.openai import (
    ChatRequest,
    answer_from_message,
    answer_to_json,
    input_text,
    parse_chat,
    shape_of,
)
from router.wire.strict_json import JsonError, load_json
from router.workload import find_workload

IMPORTED = "imported"
"""The reason of records that didn't come through the gateway."""


class _Unusable(ValueError):
    """Why a line can't be read, in a word or two."""


@dataclass(frozen=True, kw_only=True)
class Logged:
    """One line. ``at``: seconds since the epoch; None where the log doesn't say."""

    request: ChatRequest
    answer: Answer
    model: str | None
    at: float | None
    digest: str


@dataclass(frozen=True, kw_only=True)
class Importer:
    """``teacher``: the key in the configuration of the model that answered; ``workload``: a name,
    None: found as the gateway does; ``oldest``: nothing from before it is taken."""

    settings: Settings
    redactor: Redactor
    caller: Caller
    teacher: str
    workload: str | None
    oldest: float
    now: float

    def read(self, path: Path, left_out: Counter[str]) -> Iterator[Interaction]:
        """The records of a log; a line that can't be used is counted by its reason.

        The same line has the same id, so that a log may be imported twice. Raises StreamError for
        a file that can't be read.
        """
        for _, line in numbered_lines(path):
            try:
                logged = read_logged(line)
            except _Unusable as why:
                left_out[str(why)] += 1
                continue
            at = self.now if logged.at is None else logged.at
            if at < self.oldest:
                left_out["older than data.retention_days"] += 1
                continue
            if not logged.request.options.store:
                left_out["store: false"] += 1
                continue
            yield self._record(logged, min(at, self.now))

    def _record(self, logged: Logged, at: float) -> Interaction:
        body, caller = logged.request.body, self.caller
        workload, configured = find_workload(self.settings, body, self.workload, caller.tenant)
        chosen = choose_comparer(shape_of(body), [logged.answer])
        answer = dict(self.redactor.json(answer_to_json(logged.answer)))
        name = hashlib.sha256(f"{caller.key_name}\0{workload}\0{logged.digest}".encode())
        return Interaction(
            id=f"imp_{name.hexdigest()[:24]}",
            created_at=at,
            workload=workload,
            tenant=caller.tenant,
            key_name=caller.key_name,
            train_ok=caller.train_on,
            stored=True,
            stream=False,
            request=hide_user(self.redactor.json(body), body, caller.tenant),
            input_text=self.redactor.text(input_text(body)),
            group="",
            comparer=(configured.compare if configured else None) or chosen,
            tier=Tier.TEACHER,
            model=self.teacher,
            reason=IMPORTED,
            status="ok",
            answer=answer,
            teacher_answer=answer,
            teacher_model=self.teacher,
            teacher_version=logged.model,
            seen=True,
            agreed=True,
            settings_digest=self.settings.digest,
        )


def read_logged(line: bytes) -> Logged:
    """One line. Raises a ValueError that says why in a few words."""
    try:
        value = load_json(line)
    except JsonError:
        raise _Unusable("no JSON") from None
    if not isinstance(value, dict):
        raise _Unusable("no object")
    body, message, ending, model, created = _take_apart(value)
    try:
        request = parse_chat(json.dumps({"model": "auto"} | body).encode())
    except BadRequest:
        raise _Unusable("no chat-completions request") from None
    answer = answer_from_message(message, ending)
    if not (answer.content or answer.tool_calls or answer.refusal):
        raise _Unusable("no answer")
    stamps = (value.get("created_at"), value.get("timestamp"), value.get("created"), created)
    return Logged(
        request=replace(request, body={k: v for k, v in request.body.items() if k != "stream"}),
        answer=answer,
        model=model if isinstance(model, str) else None,
        at=next((at for at in map(read_time, stamps) if at is not None), None),
        digest=hashlib.sha256(line.strip()).hexdigest(),
    )


def _take_apart(
    value: Mapping[str, Any],
) -> tuple[dict[str, Any], Mapping[str, Any], str | None, Any, Any]:
    """Request body, assistant message, finish reason, model and time of the answer."""
    messages = value.get("messages")
    if isinstance(messages, list) and messages and "response" not in value:
        *prompt, last = messages
        if not isinstance(last, dict) or last.get("role") != "assistant":
            raise _Unusable("no answer")
        return {**value, "messages": prompt}, last, "stop", None, None
    request = unwrap(value.get("request", value.get("body")))
    if request is None:
        raise _Unusable("no chat-completions request")
    teacher = value.get("teacher")
    if isinstance(teacher, dict):
        return request, teacher, teacher.get("finish_reason"), teacher.get("model"), None
    response = unwrap(value.get("response"))
    if response is None:
        raise _Unusable("no answer")
    choices = response.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _Unusable("no answer")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise _Unusable("no answer")
    ending = choices[0].get("finish_reason")
    return request, message, ending, response.get("model"), response.get("created")


def unwrap(value: Any) -> dict[str, Any] | None:
    """The body itself: it may be text, or inside an envelope."""
    if isinstance(value, str):
        try:
            value = load_json(value.encode())
        except JsonError:
            return None
    if isinstance(value, dict) and isinstance(value.get("body"), dict | str):
        return unwrap(value["body"])
    return value if isinstance(value, dict) else None


def read_time(value: Any) -> float | None:
    """Seconds since the epoch, of a number or an ISO 8601 text; without a zone it is UTC. None for
    anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11:
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        read = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=datetime.UTC)).timestamp()
