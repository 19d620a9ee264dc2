"""The sources of this repository as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("router", "policies", "distill")
FIRST_PARTY = frozenset((*SHIPPED, "benchmarks", "tests"))

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported name; ``from a.b import c`` is ``a.b.c``, which may be a module or not."""

    name: str
    line: int
    nested: bool
    """Inside a function or method: it runs late, which is how a cycle is hidden."""
    conditional: bool
    """Under ``if TYPE_CHECKING``: it never runs, which hides a cycle from the interpreter."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One Python file."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @property
    def module(self) -> str:
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def functions(self) -> Iterator[FunctionNode]:
        for node in ast.walk(self.tree):
            if isinstance(node, FunctionNode):
                yield node

    def imports(self) -> Iterator[Import]:
        yield from _imports(self, self.tree, nested=False, conditional=False)

    def where(self, line: int) -> str:
        return f"{self.path.as_posix()}:{line}"


def read_sources(*folders: str) -> list[Source]:
    """Every Python file under these folders of the repository; one that is absent has none."""
    return [
        Source(path=path.relative_to(ROOT), text=path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def is_within(name: str, package: str) -> bool:
    """True where a dotted name is the package or lies below it."""
    return name == package or name.startswith(package + ".")


def _imports(source: Source, node: ast.AST, *, nested: bool, conditional: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name in _imported_names(source, child):
            line = getattr(child, "lineno", 0)
            yield Import(name=name, line=line, nested=nested, conditional=conditional)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports(source, child, nested=nested, conditional=True)
        else:
            inside = nested or isinstance(child, FunctionNode | ast.Lambda)
            yield from _imports(source, child, nested=inside, conditional=conditional)


def _imported_names(source: Source, node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        origin = _origin(source, node)
        return [f"{origin}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in _DYNAMIC:
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            return [first.value]
    return []


_DYNAMIC = frozenset({"importlib.import_module", "import_module", "__import__"})


def _origin(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = source.path.parent.parts
    parents = package[: len(package) - node.level + 1]
    return ".".join((*parents, node.module) if node.module else parents)
