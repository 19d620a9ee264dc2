"""What a generative student is trained on: one example, and a file of them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distill.train.topk import PackedTopK, TopKError, from_bytes


class ExamplesError(ValueError):
    """The examples can't be read; the message names the line and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One answer that the teacher graded; the higher the better."""

    text: str
    grade: float


@dataclass(frozen=True, kw_only=True)
class Example:
    """One question with the teacher's answer, or a correction of it.

    ``messages``: in OpenAI's shape, without the answer; ``licence``: of the model that answered, as
    in the configuration; ``weight``: how many interactions it stands for; ``reasoning_chars``: how
    much of ``answer``, from its start, is a reasoning trace; ``confidence``: exp of the
    teacher's mean log-probability, None where it gave none; ``top_k``: one row per token of the
    answer, under ``vocabulary``, the hash of the teacher's; ``drafts``: graded by the teacher;
    ``preference``: its probability that the best draft is better than the second; ``replayed``:
    from old traffic, to be remembered and not learned anew.
    """

    id: str
    messages: Sequence[Mapping[str, Any]]
    answer: str
    licence: str = "unknown"
    weight: float = 1.0
    reasoning_chars: int = 0
    confidence: float | None = None
    top_k: PackedTopK | None = None
    vocabulary: str | None = None
    drafts: Sequence[Draft] = field(default=())
    preference: float | None = None
    replayed: bool = False

    def ranked(self) -> list[Draft]:
        """The drafts, the best first."""
        return sorted(self.drafts, key=lambda draft: -draft.grade)


def digest_examples(examples: Iterable[Example]) -> str:
    """sha256 (hex) of what they say, in their order."""
    sha = hashlib.sha256()
    for example in examples:
        sha.update(_line(example).encode() + b"\n")
    return sha.hexdigest()


def write_examples(examples: Iterable[Example]) -> str:
    """One JSON object a line."""
    return "".join(_line(example) + "\n" for example in examples)


def read_examples(lines: Iterable[str], source: str) -> list[Example]:
    """What ``write_examples`` wrote. ``source``: where it lies, for messages. Raises
    ExamplesError."""
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(_parse(json.loads(line)))
        except (ValueError, TypeError, KeyError, TopKError) as error:
            raise ExamplesError(f"{source}:{number} is no training example: {error}") from error
    return found


def _line(example: Example) -> str:
    given = {
        name: value
        for name, value in vars(example).items()
        if name not in ("top_k", "drafts") and value is not None
    }
    if example.top_k is not None:
        given["top_k"] = base64.b64encode(example.top_k.to_bytes()).decode()
    if example.drafts:
        given["drafts"] = [{"text": one.text, "grade": one.grade} for one in example.drafts]
    given["messages"] = [dict(message) for message in example.messages]
    return json.dumps(given, ensure_ascii=False, sort_keys=True)


def _parse(given: dict[str, Any]) -> Example:
    packed, drafts = given.pop("top_k", None), given.pop("drafts", ())
    return Example(
        **given,
        top_k=None if packed is None else from_bytes(base64.b64decode(packed)),
        drafts=tuple(Draft(**draft) for draft in drafts),
    )
