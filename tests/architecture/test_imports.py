"""Imports point one way: benchmarks → distill → router → policies; nothing imports tests."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.sources import FIRST_PARTY, SHIPPED, Source, is_within, read_sources

# What learning may use of serving: what it feeds on, and what replay must share with the gateway.
ROUTER_FOR_DISTILL = (
    "app",
    "auth",
    "billing",
    "deciding",
    "deps",
    "drafting",
    "errors",
    "evidence",
    "features",
    "generative",
    "meter",
    "overlay",
    "pipeline",
    "promotion",
    "record",
    "release",
    "retention",
    "settings",
    "staging",
    "stored_keys",
    "students",
    "testing",
    "upstream",
    "wire",
    "workload",
)

# Package → what nothing in it may import.
FORBIDDEN = {
    "policies.fit": ("router", "distill"),
    "policies": (
        *("router", "distill", "policies.fit"),
        *("sklearn", "scipy", "torch", "asyncio", "sqlalchemy", "fastapi", "aiohttp"),
    ),
    "router": ("distill", "policies.fit", "torch", "sklearn", "scipy", "vllm"),
}
EVERYWHERE = ("tests", "benchmarks")


def _misdirected(source: Source) -> Iterator[str]:
    package = next((name for name in FORBIDDEN if is_within(source.module, name)), "")
    banned = (*FORBIDDEN.get(package, ()), *EVERYWHERE)
    for found in source.imports():
        if any(is_within(found.name, name) for name in banned):
            yield f"{source.where(found.line)} imports {found.name}"


def _unshared(source: Source) -> Iterator[str]:
    shared = [f"router.{name}" for name in ROUTER_FOR_DISTILL]
    for found in source.imports():
        if not is_within(found.name, "router"):
            continue
        if not any(is_within(found.name, name) for name in shared):
            yield f"{source.where(found.line)} imports {found.name}"


def _hidden(source: Source) -> Iterator[str]:
    for found in source.imports():
        if found.name.partition(".")[0] not in FIRST_PARTY:
            continue
        if found.nested:
            yield f"{source.where(found.line)} imports {found.name} inside a function"
        if found.conditional:
            yield f"{source.where(found.line)} imports {found.name} under TYPE_CHECKING"


def _find_cycle(sources: list[Source]) -> list[str]:
    """Modules that import each other in a ring; empty where there is none."""
    modules = {source.module for source in sources}
    graph = {
        source.module: {_module_of(found.name, modules) for found in source.imports()}
        & (modules - {source.module})
        for source in sources
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def _module_of(name: str, modules: set[str]) -> str:
    """``a.b.c`` is the module a.b.c, or the name c of the module a.b."""
    return name if name in modules else name.rpartition(".")[0]


def test_imports_point_one_way() -> None:
    assert [line for source in read_sources(*SHIPPED) for line in _misdirected(source)] == []


def test_distill_uses_only_what_router_shares() -> None:
    assert [line for source in read_sources("distill") for line in _unshared(source)] == []


def test_no_first_party_import_is_hidden() -> None:
    found = [line for source in read_sources(*SHIPPED, "benchmarks") for line in _hidden(source)]
    assert found == []


def test_no_module_is_part_of_a_cycle() -> None:
    assert _find_cycle(read_sources(*SHIPPED, "benchmarks")) == []


def _source(path: str, text: str) -> Source:
    return Source(path=Path(path), text=text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("policies/base.py", "import router.errors"),
        ("policies/base.py", "from policies.fit import gate"),
        ("policies/base.py", "def f():\n    import scipy.stats"),
        ("policies/promise/policy.py", "from asyncio import sleep"),
        ("policies/fit/gate.py", "from router import errors"),
        ("router/app.py", "from distill.cycle import run"),
        ("router/app.py", "import importlib\nimportlib.import_module('distill.cli')"),
        ("router/http/chat.py", "import sklearn"),
        ("router/http/chat.py", "from ...policies.fit import gate"),
        ("distill/cycle.py", "from tests.conftest import is_loopback"),
    ],
)
def test_an_import_against_the_arrow_is_seen(path: str, text: str) -> None:
    assert len(list(_misdirected(_source(path, text)))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("policies/fit/gate.py", "from sklearn.linear_model import LogisticRegression"),
        ("policies/base.py", "import numpy"),
        ("router/app.py", "from policies.base import Policy"),
        ("distill/train.py", "from policies.fit.gate import fit_gate"),
    ],
)
def test_an_import_along_the_arrow_passes(path: str, text: str) -> None:
    assert list(_misdirected(_source(path, text))) == []


def test_distill_reaching_further_is_seen() -> None:
    text = "from router.record.store import Store\nfrom router.http.chat import answer\n"
    assert list(_unshared(_source("distill/cycle.py", text))) == [
        "distill/cycle.py:2 imports router.http.chat.answer"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    from router import errors",
        "class C:\n    async def f(self):\n        import policies.base",
        "if TYPE_CHECKING:\n    from router.app import App",
        "import typing\nif typing.TYPE_CHECKING:\n    import policies",
    ],
)
def test_a_hidden_import_is_seen(text: str) -> None:
    assert len(list(_hidden(_source("router/app.py", text)))) == 1


def test_a_cycle_is_seen() -> None:
    ring = [
        _source("router/a.py", "from router.b import B"),
        _source("router/b.py", "from router import c"),
        _source("router/c.py", "import router.a"),
    ]
    assert set(_find_cycle(ring)) == {"router.a", "router.b", "router.c"}
    assert _find_cycle(ring[:2]) == []
