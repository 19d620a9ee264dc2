"""From YAML text to plain data that still knows its lines.

``${NAME}`` is replaced after parsing, inside values only, so the environment can't change the
structure of the file, and a comment may mention a variable that doesn't exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from router.settings.problems import Path, Problem, dotted

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MERGE = "tag:yaml.org,2002:merge"
_MOST_VALUES = 100_000
"""More than any real configuration; stops a few nested anchors from filling the memory."""


@dataclass(kw_only=True)
class Document:
    """A parsed file: ``data``, the line of every path, and what was wrong with it."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    originals: dict[Path, str] = field(default_factory=dict)
    """Text as written, for every value in which something was substituted."""
    unresolved: set[Path] = field(default_factory=set)
    """Values that have a problem already, whatever else might be said about them."""
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """The line of a path, or of the nearest thing around it that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def show(self, path: Path, value: object) -> object:
        """The value for a message: as written, never what the environment put there."""
        return self.originals.get(path, value)

    def problem(self, path: Path, message: str) -> Problem:
        """An error at that path."""
        return Problem(line=self.line_of(path), key=dotted(path), message=message)


def parse_document(text: str, env: Mapping[str, str]) -> Document:
    """Read YAML and substitute; never raises for what the text holds."""
    document = Document()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            document.data = _Builder(document, env).build(node, ())
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(error, text))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"The file holds a character that YAML doesn't allow (code {error.character})"
        document.problems.append(Problem(line=line, key="", message=message))
    except RecursionError:
        message = "The file is nested too deeply"
        document.problems.append(Problem(line=1, key="", message=message))
    return document


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    message = f"The file is not valid YAML: {error.problem or error.context or 'syntax error'}"
    if "expected a single document" in message or "single document" in str(error.context):
        message = "The file must hold one YAML document: remove the line with ---"
    lines = text.splitlines()
    near = lines[max(0, line - 2) : line]
    if any("${" in row for row in near):
        message += '; inside { } and [ ] put quotes around it: "${NAME}"'
    elif any("\t" in row for row in near):
        message += "; indent with spaces, not tabs"
    return Problem(line=line, key="", message=message)


class _Builder:
    """Turns nodes into data. One per document."""

    def __init__(self, document: Document, env: Mapping[str, str]) -> None:
        self._document = document
        self._env = env
        self._scalars = yaml.constructor.SafeConstructor()
        self._open: set[int] = set()
        self._count = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        """The value of a node; what can't be built becomes a problem and None."""
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        self._count += 1
        if id(node) in self._open:
            self._fail(path, "refers to itself through a YAML anchor")
            return None
        if self._count > _MOST_VALUES:
            if self._count == _MOST_VALUES + 1:
                self._fail(path, f"is value number {_MOST_VALUES + 1:,}, which is too many")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _fail(self, path: Path, message: str) -> None:
        self._document.unresolved.add(path)
        self._document.problems.append(self._document.problem(path, message))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                self._merge(value_node, path, merged)
                continue
            key = key_node.value
            if not isinstance(key, str):
                self._fail(path, "has a list or a mapping as a key, where a name must stand")
                continue
            where = (*path, key)
            if key in own:
                message = f"is given twice, first on line {first_lines[key]}"
                self._document.problems.append(
                    Problem(line=line, key=dotted(where), message=message)
                )
                continue
            first_lines[key] = line
            self._document.lines[where] = line
            own[key] = self.build(value_node, where)
        return _without_nulls({**merged, **own}, path)

    def _merge(self, node: yaml.Node, path: Path, into: dict[str, Any]) -> None:
        """YAML's ``<<``: the keys of other mappings, the first of which wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self._fail(path, "merges (<<) something that is not a mapping")
                continue
            value = self.build(source, path)
            for key, item in (value or {}).items():
                into.setdefault(key, item)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if _REFERENCE.search(node.value):
            return self._substitute(node.value, path)
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self._fail(path, "has a value that YAML can't read: put it in quotes")
            return None

    def _substitute(self, text: str, path: Path) -> str | None:
        self._document.originals[path] = text
        missing: list[str] = []
        for name in _REFERENCE.findall(text):
            if not _NAME.fullmatch(name):
                self._fail(path, "holds ${…} around something that is no variable's name")
                return None
            if name not in self._env and name not in missing:
                missing.append(name)
        if missing:
            names = " and ".join(missing)
            self._fail(path, f"needs {names} in the environment: not set")
            return None
        return _REFERENCE.sub(lambda match: self._env[match[1]], text)


def _without_nulls(items: dict[str, Any], path: Path) -> dict[str, Any]:
    """A key with nothing after it counts as not given; a model with nothing after it is one
    without settings, so that what it lacks gets named."""
    if path == ("models",):
        return {key: {} if value is None else value for key, value in items.items()}
    return {key: value for key, value in items.items() if value is not None}
