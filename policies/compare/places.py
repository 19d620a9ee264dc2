"""Where in a JSON document its schema wants numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_NUMERIC = frozenset({"number", "integer", "float", "double", "int", "long"})
"""JSON Schema's two names, and what tool authors write instead of them."""
_KNOWN = _NUMERIC | {"string", "boolean", "null", "array", "object"}
_ANYTHING: Schema = {}
_COMBINERS = ("allOf", "anyOf", "oneOf")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in a document, with every part of the schema that speaks of it.

    Only what says plainly which type a place has is read: ``type``, ``properties``,
    ``additionalProperties``, ``items``, ``prefixItems``, the combiners, and references within the
    schema. A malformed schema says nothing.
    """

    root: Schema
    schemas: tuple[Schema, ...]

    @classmethod
    def top(cls, schema: Schema | None) -> Place:
        """The whole document."""
        root = _ANYTHING if schema is None else schema
        return cls(root=root, schemas=tuple(_expand(root, [root])))

    def member(self, name: str) -> Place:
        """The value of an object's member."""
        return self._inner([part for s in self.schemas for part in _member_schemas(s, name)])

    def item(self, index: int) -> Place:
        """An array's item."""
        return self._inner([part for s in self.schemas for part in _item_schemas(s, index)])

    @property
    def is_numeric(self) -> bool:
        """Whether a number here is meant as a value, so that 1 and 1.0 are the same.

        Some part of the schema must say so, and none may leave the type open.
        """
        return any(_types(s) & _NUMERIC for s in self.schemas) and not any(
            map(_leaves_open, self.schemas)
        )

    def _inner(self, parts: Sequence[Any]) -> Place:
        return Place(root=self.root, schemas=tuple(_expand(self.root, parts)))


def _member_schemas(schema: Schema, name: str) -> Iterator[Any]:
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and name in properties:
        yield properties[name]
    elif "patternProperties" not in schema and "additionalProperties" in schema:
        yield schema["additionalProperties"]


def _item_schemas(schema: Schema, index: int) -> Iterator[Any]:
    items = schema.get("items")
    for first, rest in ((schema.get("prefixItems"), items), (items, schema.get("additionalItems"))):
        if isinstance(first, list):
            yield first[index] if index < len(first) else rest
            return
    yield items


def _expand(root: Schema, schemas: Sequence[Any]) -> Iterator[Schema]:
    """Each schema with the ones it refers to and combines, once each."""
    waiting = list(schemas)
    seen: set[int] = set()
    while waiting:
        schema = waiting.pop()
        if schema is True:
            schema = _ANYTHING
        if not isinstance(schema, Mapping) or id(schema) in seen:
            continue
        seen.add(id(schema))
        yield schema
        for combiner in _COMBINERS:
            parts = schema.get(combiner)
            waiting.extend(parts if isinstance(parts, list) else [])
        if "$ref" in schema:
            waiting.append(_resolve(root, schema["$ref"]))


def _resolve(root: Schema, reference: object) -> Schema:
    """The schema that a reference within the document points to; one that says nothing if none."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return _ANYTHING
    target: Any = root
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, Mapping) or name not in target:
            return _ANYTHING
        target = target[name]
    return target if isinstance(target, Mapping) else _ANYTHING


def _types(schema: Schema) -> frozenset[str]:
    declared = schema.get("type")
    names = declared if isinstance(declared, list) else [declared]
    return frozenset(name.lower() for name in names if isinstance(name, str))


def _leaves_open(schema: Schema) -> bool:
    types = _types(schema)
    if types:
        return not types <= _KNOWN
    return "$ref" not in schema and not any(combiner in schema for combiner in _COMBINERS)
