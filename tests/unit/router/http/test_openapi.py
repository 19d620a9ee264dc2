"""The OpenAPI document names every address, and none that isn't there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from starlette.routing import Route

from router.app import create_app
from router.http.chat import PARSERS
from router.http.openapi.document import build_document
from router.record.store import Store
from router.settings.model import Settings


def served() -> set[tuple[str, str]]:
    """Every address outside the dashboard, with its method."""
    store = Store.open(":memory:")
    routes = [one for one in create_app(Settings(), store).routes if isinstance(one, Route)]
    store.close()
    found = {("POST", path) for path in PARSERS}
    for route in routes:
        path = re.sub(r":path(?=\})", "", route.path)
        found |= {(method, path) for method in route.methods or () if method != "HEAD"}
    return {(method, path) for method, path in found if not path.startswith("/ui")}


def test_it_names_every_address_and_no_other() -> None:
    paths = build_document()["paths"]
    documented = {(m.upper(), path) for path, item in paths.items() for m in item}
    assert {one for one in documented if one[0] != "PARAMETERS"} == served()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        value = [*value.values()]
    for one in value if isinstance(value, list) else ():
        yield from references(one)


def test_every_schema_is_used_and_every_used_one_is_there() -> None:
    document = json.loads(json.dumps(build_document()))
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) == names
