"""JSON schemas of bodies: what the gateway itself asks for and gives.

Everything else in a request is the upstream's business and goes through untouched, so further
properties are allowed wherever they are forwarded.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A schema of ``SCHEMAS`` by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(kind: str, **more: Any) -> Schema:
    """Of that type, or null, which counts as not given."""
    return {"type": [kind, "null"], **more}


def obj(required: tuple[str, ...] = (), *, closed: bool = False, **properties: Schema) -> Schema:
    """An object; ``closed``: of these properties alone."""
    found: Schema = {"type": "object", "properties": properties}
    if required:
        found["required"] = list(required)
    if closed:
        found["additionalProperties"] = False
    return found


def listed(items: Schema, **more: Any) -> Schema:
    """An array."""
    return {"type": "array", "items": items, **more}


_TEXT: Schema = {"type": "string"}
_ANY: Schema = {}
_PARTS = listed(
    {
        "anyOf": [
            obj(("type", "text"), type={"const": "text"}, text=_TEXT),
            obj(("type",), type={"type": "string", "not": {"const": "text"}}),
        ]
    }
)
_STREAM_OPTIONS = nullable("object", properties={"include_usage": nullable("boolean")})
_CONTENT: Schema = {"anyOf": [_TEXT, _PARTS]}

_REQUESTS: dict[str, Schema] = {
    "Model": {
        "type": "string",
        "description": "auto, an alias, or a model's own key, which pins it",
    },
    "Options": {
        "type": ["object", "null"],
        "description": "What is asked of the gateway; not forwarded.",
        "additionalProperties": False,
        "properties": {
            "workload": nullable("string", minLength=1),
            "force": {"enum": ["teacher", "student", None]},
            "store": nullable("boolean"),
            "max_cost_usd": nullable("number", minimum=0),
        },
    },
    "ChatRequest": obj(
        ("model", "messages"),
        model=ref("Model"),
        messages=listed(
            obj(("role",), role=_TEXT, content={"anyOf": [_TEXT, {"type": "null"}, _PARTS]}),
            minItems=1,
        ),
        stream=nullable("boolean"),
        stream_options=_STREAM_OPTIONS,
        n=nullable("integer", minimum=1),
        tutelage=ref("Options"),
    ),
    "CompletionRequest": obj(
        ("model",),
        model=ref("Model"),
        prompt={"type": ["string", "array", "null"]},
        stream=nullable("boolean"),
        stream_options=_ANY,
        n=nullable("integer", minimum=1),
        tutelage=ref("Options"),
    ),
    "EmbeddingsRequest": obj(
        ("model", "input"),
        model=ref("Model"),
        input={"type": ["string", "array"]},
        tutelage=ref("Options"),
    ),
    "CompactionRequest": obj(
        ("model",),
        model=ref("Model"),
        input={"type": ["string", "array", "null"]},
        tutelage=ref("Options"),
    ),
    "ResponsesRequest": obj(
        (),
        model={"anyOf": [ref("Model"), {"type": "null"}]},
        input={"type": ["string", "array", "null"], "items": {"type": "object"}},
        stream=nullable("boolean"),
        store=nullable("boolean"),
        tools=nullable("array"),
        tutelage=ref("Options"),
    ),
    "CountRequest": obj(
        ("model", "messages"),
        model=ref("Model"),
        messages=listed(
            obj(
                ("role", "content"),
                role={"enum": ["user", "assistant", "system"]},
                content=_CONTENT,
            ),
            minItems=1,
        ),
        system={"anyOf": [*_CONTENT["anyOf"], {"type": "null"}]},
        tutelage=ref("Options"),
    ),
    "MessagesRequest": {
        "allOf": [
            ref("CountRequest"),
            obj(
                ("max_tokens",),
                max_tokens={"type": "integer", "minimum": 0},
                stream=nullable("boolean"),
            ),
        ]
    },
    "FeedbackRequest": {
        **obj(
            ("id",),
            closed=True,
            id={"type": "string", "pattern": r"\S", "maxLength": 100_000},
            score=nullable("number", minimum=-1, maximum=1),
            correction=nullable("string", pattern=r"\S", maxLength=100_000),
            label={"type": ["string", "number", "boolean", "null"], "pattern": r"\S"},
        ),
        "anyOf": [
            {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
            for name in ("score", "correction", "label")
        ],
    },
    "Change": obj(
        ("author", "reason"),
        closed=True,
        author={"type": "string", "pattern": r"\S", "maxLength": 1000},
        reason={"type": "string", "pattern": r"\S", "maxLength": 1000},
    ),
    "Deciding": obj(
        ("policy",),
        closed=True,
        policy={"enum": ["threshold", "student", "teacher"]},
        threshold={"type": "number", "minimum": 0, "maximum": 1},
    ),
    "PolicyChange": {
        **obj(
            ("author", "reason"),
            closed=True,
            author={"type": "string", "pattern": r"\S", "maxLength": 1000},
            reason={"type": "string", "pattern": r"\S", "maxLength": 1000},
            policy=nullable("string"),
            promise=nullable("object"),
            budget=nullable("object"),
            threshold=nullable("number", minimum=0, maximum=1),
            audit=nullable("object"),
        ),
        "minProperties": 3,
    },
}

_USAGE = nullable("object")

_ANSWERS: dict[str, Schema] = {
    "Error": obj(
        ("error",),
        error=obj(("message", "type"), message=_TEXT, type=_TEXT, param=_ANY, code=_ANY),
    ),
    "Completion": obj(("object", "choices"), object=_TEXT, choices=listed(_ANY), usage=_USAGE),
    "Embeddings": obj(("data",), object=_TEXT, data=listed(_ANY), usage=_USAGE),
    "Response": obj(("output",), object=_TEXT, output=listed(_ANY), usage=_USAGE),
    "Message": obj(("type", "content"), type={"const": "message"}, content=listed(_ANY)),
    "TokenCount": obj(("input_tokens",), input_tokens={"type": "integer", "minimum": 0}),
    "ModelCard": obj(("id", "object"), id=_TEXT, object={"const": "model"}),
    "Models": obj(("object", "data"), object={"const": "list"}, data=listed(ref("ModelCard"))),
    "List": obj(("object", "data"), object={"const": "list"}, data=listed({"type": "object"})),
    "Interaction": obj(
        ("id", "tier", "model", "cost_usd", "trace"),
        id=_TEXT,
        tier={"enum": ["recall", "student", "teacher"]},
        model=_TEXT,
        cost_usd=nullable("number"),
        trace=listed({"type": "object"}),
        verdict=obj(("wanted", "until"), wanted={"type": "boolean"}, until={"type": "integer"}),
    ),
    "Feedback": obj(("id", "object"), id=_TEXT, object={"const": "feedback"}),
    "Health": obj(("status",), status=_TEXT),
    "Policy": obj(
        ("workload", "source", "policy", "in_force", "file"),
        workload=_TEXT,
        source={"enum": ["admin", "file"]},
        policy=_TEXT,
        in_force={"type": "object"},
        file={"type": "object"},
    ),
    "InForce": obj(("workload", "release", "serving"), workload=_TEXT),
    "Object": {"type": "object"},
}

SCHEMAS = {**_REQUESTS, **_ANSWERS}
