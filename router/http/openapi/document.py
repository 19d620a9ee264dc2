"""``GET /openapi.json``: every address outside the dashboard, for clients and for fuzzing.

The routes read their bodies themselves, so nothing generates this; tests hold it to the routes and
to what they accept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from router.http.openapi.schemas import SCHEMAS, Schema, ref

_JSON: Final = "application/json"
_STREAM: Final = "text/event-stream"
_CALLER: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"apiKey": []}]
_NOBODY: Final[list[dict[str, list[str]]]] = []
_AMOUNT: Final[Schema] = {"type": "number", "minimum": 0}
_FREE: Final[dict[str, list[str]]] = {}
"""Without a key, where none are configured."""


def _operation(
    summary: str,
    answer: str,
    *,
    body: str | None = None,
    must_have_body: bool = True,
    streams: bool = False,
    media_type: str = _JSON,
    security: list[dict[str, list[str]]] | None = None,
    query: Mapping[str, Schema] | None = None,
) -> Schema:
    """``answer``, ``body``: names of schemas; errors have one shape everywhere, and an upstream's
    own status is passed on, so they are given as ranges."""
    told = {"type": "string"} if media_type != _JSON else ref(answer)
    content: Schema = {media_type: {"schema": told}}
    if streams:
        content[_STREAM] = {}
    error = {"description": "An error", "content": {_JSON: {"schema": ref("Error")}}}
    found: Schema = {
        "summary": summary,
        "security": [*_CALLER, _FREE] if security is None else security,
        "responses": {"200": {"description": "The answer", "content": content}},
    }
    found["responses"] |= {"4XX": error, "5XX": error}
    if body is not None:
        found["requestBody"] = {
            "required": must_have_body,
            "content": {_JSON: {"schema": ref(body)}},
        }
    if query:
        found["parameters"] = [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in query.items()
        ]
    return found


def _answers() -> dict[str, dict[str, Schema]]:
    """What asks a model."""
    forms = {
        "chat/completions": ("Chat completions", "Completion", "ChatRequest", True),
        "completions": ("Text completions", "Completion", "CompletionRequest", True),
        "embeddings": ("Embeddings", "Embeddings", "EmbeddingsRequest", False),
        "responses": ("Responses", "Response", "ResponsesRequest", True),
        "responses/compact": ("A shorter conversation", "Response", "CompactionRequest", False),
        "messages": ("Anthropic's messages", "Message", "MessagesRequest", True),
        "messages/count_tokens": ("Tokens of a prompt", "TokenCount", "CountRequest", False),
    }
    return {
        f"/v1/{path}": {"post": _operation(said, answer, body=body, streams=streams)}
        for path, (said, answer, body, streams) in forms.items()
    }


def _kept() -> dict[str, dict[str, Schema]]:
    """What a teacher's server keeps: whatever it answers."""

    def forwarded(summary: str, body: str | None = None) -> Schema:
        return _operation(summary, "Object", body=body, must_have_body=False, streams=True)

    return {
        "/v1/responses/input_tokens": {"post": forwarded("Tokens of a response's input", "Object")},
        "/v1/responses/{id}": {
            "get": forwarded("A kept response"),
            "delete": forwarded("Delete a kept response"),
        },
        "/v1/responses/{id}/cancel": {"post": forwarded("Stop a response in the background")},
        "/v1/responses/{id}/input_items": {"get": forwarded("A kept response's input")},
        "/v1/chat/completions": {"get": forwarded("Kept completions")},
        "/v1/chat/completions/{id}": {
            "get": forwarded("A kept completion"),
            "post": forwarded("Change a kept completion", "Object"),
            "delete": forwarded("Delete a kept completion"),
        },
        "/v1/chat/completions/{id}/messages": {"get": forwarded("A kept completion's messages")},
    }


def _own() -> dict[str, dict[str, Schema]]:
    """The gateway's own."""
    text = "text/plain"
    return {
        "/v1/models": {"get": _operation("Every name that model may have", "Models")},
        "/v1/models/{model}": {"get": _operation("One of them", "ModelCard")},
        "/v1/interactions/{id}": {"get": _operation("The caller's own interaction", "Interaction")},
        "/v1/feedback": {
            "post": _operation("What is said of an answer", "Feedback", body="FeedbackRequest")
        },
        "/metrics": {"get": _operation("For Prometheus", "Object", media_type=text)},
        "/health/live": {"get": _operation("It runs", "Health", security=_NOBODY)},
        "/health/ready": {"get": _operation("It answers", "Health", security=_NOBODY)},
        "/openapi.json": {"get": _operation("This document", "Object", security=_NOBODY)},
    }


_COUNT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}
_OF_WORKLOAD: Final[Mapping[str, Schema]] = {"workload": {"type": "string"}}
_WANTED: Final[Mapping[str, Schema]] = {
    **_OF_WORKLOAD,
    "tier": {"enum": ["recall", "student", "teacher"]},
    "reason": {"type": "string"},
    "status": {"enum": ["ok", "error", "broken"]},
    "disagreed": {"enum": ["answer", "draft", "either"]},
    "least_usd": _AMOUNT,
    "most_usd": _AMOUNT,
    "text": {"type": "string", "pattern": "^$|[0-9A-Za-z]"},
    "limit": {**_COUNT, "maximum": 200},
    "before": {**_COUNT, "maximum": 2**63 - 1},
}


def _admin() -> dict[str, dict[str, Schema]]:
    """Behind the admin key."""
    of_workload = "/admin/v1/workloads/{workload}"
    return {
        "/admin/v1/releases": {"get": _operation("Releases", "List", query=_OF_WORKLOAD)},
        "/admin/v1/releases/{digest}/promote": {
            "post": _operation("Put a release in force", "InForce", body="Change")
        },
        "/admin/v1/workloads": {"get": _operation("Workloads", "List")},
        f"{of_workload}/rollback": {
            "post": _operation("The release before", "InForce", body="Change")
        },
        f"{of_workload}/policy": {
            "get": _operation("The policy in force", "Policy"),
            "put": _operation("Another policy", "Policy", body="PolicyChange"),
            "delete": _operation("The file's policy", "Policy", body="Change"),
        },
        f"{of_workload}/frontier": {
            "get": _operation(
                "Every threshold",
                "Object",
                query={"usd_per_interaction": _AMOUNT, "newest": _COUNT},
            )
        },
        "/admin/v1/cycles": {"get": _operation("Learning cycles", "List", query=_OF_WORKLOAD)},
        "/admin/v1/learned": {
            "get": _operation("Learning curves and failures", "List", query=_OF_WORKLOAD)
        },
        "/admin/v1/spending": {
            "get": _operation("What was spent", "List", query={"days": {**_COUNT, "maximum": 3650}})
        },
        "/admin/v1/interactions": {
            "get": _operation("Interactions that fit", "List", query=_WANTED)
        },
        "/admin/v1/interactions/{id}": {"get": _operation("One, explained", "Object")},
        "/admin/v1/interactions/{id}/decide": {
            "post": _operation("What another policy would do", "Object", body="Deciding")
        },
        "/admin/v1/keys": {"get": _operation("Callers", "List")},
        "/admin/v1/budgets": {"get": _operation("Budgets", "List")},
    }


def build_document() -> Schema:
    """The document, OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for part in (_answers(), _kept(), _own(), _admin()):
        for path, operations in part.items():
            item = paths.setdefault(path, {})
            item.update(operations)
            names = re.findall(r"\{(\w+)\}", path)
            if names:
                item["parameters"] = [
                    {"name": name, "in": "path", "required": True, "schema": _NAME}
                    for name in names
                ]
    return {
        "openapi": "3.1.0",
        "info": {"title": "tutelage", "version": version("tutelage")},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


_NAME: Final[Schema] = {"type": "string", "minLength": 1}


async def show_document(request: Request) -> Response:
    """The document, the same for everybody."""
    return Response(_write(), media_type=_JSON)


@cache
def _write() -> bytes:
    return json.dumps(build_document()).encode()
