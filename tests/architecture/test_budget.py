"""Size, state and honesty of the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import SHIPPED, FunctionNode, Source, read_sources

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
_EVERYTHING = (*SHIPPED, "benchmarks", "tests")
# Spelt so that this line does not name itself.
_UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|NotImplemented[E]rror)\b")


def _oversized(source: Source) -> Iterator[str]:
    lines = len(source.text.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{source.path.as_posix()} has {lines} lines, more than {MAX_FILE_LINES}"
    for function in source.functions():
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            yield (
                f"{source.where(function.lineno)} {function.name} has {lines} lines, "
                f"more than {MAX_FUNCTION_LINES}"
            )


def _global_names(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield f"{source.where(node.lineno)} global {', '.join(node.names)}"


def _unfinished(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), start=1):
        if match := _UNFINISHED.search(line):
            yield f"{source.where(number)} {match[0]}"


def _unannotated(source: Source) -> Iterator[str]:
    methods = set(_methods(source.tree))
    for function in source.functions():
        if function.returns is None:
            yield f"{source.where(function.lineno)} {function.name} has no return type"
        signature = function.args
        positional = [*signature.posonlyargs, *signature.args]
        if function in methods:
            positional = positional[1:]  # self or cls
        rest = [signature.vararg, signature.kwarg]
        for argument in (*positional, *signature.kwonlyargs, *(one for one in rest if one)):
            if argument.annotation is None:
                yield f"{source.where(function.lineno)} {function.name}({argument.arg}) has no type"


def _methods(tree: ast.Module) -> Iterator[FunctionNode]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for child in node.body:
            if isinstance(child, FunctionNode) and not _is_static(child):
                yield child


def _is_static(function: FunctionNode) -> bool:
    return any(ast.unparse(decorator) == "staticmethod" for decorator in function.decorator_list)


Rule = Callable[[Source], Iterator[str]]


def _broken(rule: Rule, *folders: str) -> list[str]:
    sources = read_sources(*folders)
    assert sources, "no source was found: the rule checked nothing"
    return [line for source in sources for line in rule(source)]


def test_files_and_functions_stay_small() -> None:
    assert _broken(_oversized, *_EVERYTHING) == []


def test_no_global_statement() -> None:
    assert _broken(_global_names, *_EVERYTHING) == []


def test_nothing_is_left_unfinished() -> None:
    assert _broken(_unfinished, *_EVERYTHING) == []


def test_everything_shipped_is_annotated() -> None:
    assert _broken(_unannotated, *SHIPPED) == []


_LONG_FUNCTION = "def f() -> None:\n" + "    print()\n" * MAX_FUNCTION_LINES


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (_oversized, "\n" * (MAX_FILE_LINES + 1)),
        (_oversized, _LONG_FUNCTION),
        (_global_names, "def f() -> None:\n    global x\n    x = 1\n"),
        (_unfinished, "# TO" + "DO: later"),
        (_unfinished, "raise NotImplemented" + "Error"),
        (_unannotated, "def f(x) -> None: ..."),
        (_unannotated, "def f(x: int): ..."),
        (_unannotated, "async def f(*, x) -> None: ..."),
        (_unannotated, "def f(**x) -> None: ..."),
        (_unannotated, "class C:\n    def f(self, x) -> None: ..."),
        (_unannotated, "class C:\n    @staticmethod\n    def f(x) -> None: ..."),
    ],
)
def test_a_breach_is_seen(rule: Rule, text: str) -> None:
    assert len(list(rule(Source(path=Path("router/sample.py"), text=text)))) == 1


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (_oversized, "\n" * MAX_FILE_LINES),
        (_oversized, _LONG_FUNCTION.removesuffix("    print()\n")),
        (_unannotated, "class C:\n    def f(self, *x: int) -> None: ..."),
        (_unannotated, "class C:\n    @classmethod\n    def f(cls) -> None: ..."),
    ],
)
def test_the_limit_itself_is_allowed(rule: Rule, text: str) -> None:
    assert list(rule(Source(path=Path("router/sample.py"), text=text))) == []
