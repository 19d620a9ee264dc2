"""Instructions in a system prompt that can be checked on an answer, by fixed patterns, in English.

What none of them matches isn't checked: tone, truth, whatever needs judgement. A pattern may read
an instruction wrongly; the teacher's own share, beside the student's, shows where.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from distill.card.pairs import Measure, Pair, text_of
from policies.types import Answer

KIND: Final = "instruction following"

_Check = Callable[[str], bool]

_OPTIONS = re.compile(
    r"\b(?:answer|output(?:ting)?|reply|respond)\b[^.]*?((?:\"[^\"\n]{1,40}\"(?:,? or |, ?)?){2,})",
    re.I,
)
_QUOTED = re.compile(r"\"([^\"\n]{1,40})\"")
_KEYS = re.compile(r"\bkeys ((?:\w+(?:, and |,? and |, )?){2,})")
_WORDS = re.compile(r"\b(?:at most|no more than|up to|maximum of|within) (\d{1,4}) words\b", re.I)
_FEWER = re.compile(r"\bin (\d{1,4}) words or (?:less|fewer)\b", re.I)
_SENTENCES = re.compile(r"\b(?:in|at most|no more than) (one|two|three|\d) sentences?\b", re.I)
_NUMBERS: Final = {"one": 1, "two": 2, "three": 3}
_ONE_LINE = re.compile(
    r"\bone (?:\w+ )?(?:label|word|category|class|intent)\b|\blabel that fits", re.I
)
_JSON_ONLY = re.compile(r"\b(?:one|a|only|valid) JSON\b|\bJSON (?:object|only)\b", re.I)
_NO_SENTENCE = re.compile(r"\bwithout writing a complete sentence\b", re.I)
_LANGUAGE = re.compile(
    r"\b(?:answer|reply|respond|write)[^.\n]{0,30} in (English|German|French|Spanish)\b", re.I
)
_ENDS = re.compile(r"[.!?](?:\s|$)")
_WORD = re.compile(r"[^\W\d_]+")

_COMMONEST: Final = {
    "english": "the and of to is in that it you for your with we this are on be",
    "german": "der die das und ist nicht sie ich ein eine zu mit für auf wir ihre",
    "french": "le la les et est vous un une des pour dans pas que nous votre avec",
    "spanish": "el la los y es un una de que en para por con su no las del",
}
_FUNCTION_WORDS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(words.split()) for name, words in _COMMONEST.items()
}
"""Which language a text is in is told by whose commonest words it has most."""


def measures() -> Iterator[Measure]:
    """One for each kind of instruction; an answer counts where its prompt has that instruction."""
    for name, find in _RULES.items():
        yield Measure(name=name, kind=KIND, of=_checking(find))


def _checking(find: Callable[[str], _Check | None]) -> Callable[[Pair, Answer], float | None]:
    found = lru_cache(maxsize=256)(find)

    def of(pair: Pair, answer: Answer) -> float | None:
        check = found(pair.prompt)
        return None if check is None else float(check(text_of(answer)))

    return of


def _find_options(prompt: str) -> _Check | None:
    named = _OPTIONS.search(prompt)
    if named is None:
        return None
    options = {one.casefold() for one in _QUOTED.findall(named[1])}
    return lambda text: text.strip().strip('"').casefold() in options


def _find_line(prompt: str) -> _Check | None:
    if _ONE_LINE.search(prompt) is None:
        return None
    return lambda text: bool(text) and "\n" not in text and len(text.split()) <= 8


def _find_json(prompt: str) -> _Check | None:
    return _is_json if _JSON_ONLY.search(prompt) else None


def _find_keys(prompt: str) -> _Check | None:
    named = _KEYS.search(prompt)
    if named is None or _JSON_ONLY.search(prompt) is None:
        return None
    keys = set(re.findall(r"\w+", named[1])) - {"and"}
    return lambda text: _keys_of(text) == keys


def _find_words(prompt: str) -> _Check | None:
    found = _WORDS.search(prompt) or _FEWER.search(prompt)
    if found is None:
        return None
    most = int(found[1])
    return lambda text: len(text.split()) <= most


def _find_sentences(prompt: str) -> _Check | None:
    found = _SENTENCES.search(prompt)
    if found is None:
        return None
    most = _NUMBERS.get(found[1].casefold()) or int(found[1])
    return lambda text: len(_ENDS.findall(text)) <= most


def _find_no_sentence(prompt: str) -> _Check | None:
    if _NO_SENTENCE.search(prompt) is None:
        return None
    return lambda text: not text.rstrip().endswith((".", "!", "?")) or len(text.split()) <= 3


def _find_language(prompt: str) -> _Check | None:
    found = _LANGUAGE.search(prompt)
    if found is None:
        return None
    wanted = found[1].casefold()
    return lambda text: _guess_language(text) in (wanted, None)


def _is_json(text: str) -> bool:
    return _load(text) is not None


def _keys_of(text: str) -> set[str] | None:
    document = _load(text)
    return set(document) if isinstance(document, dict) else None


def _load(text: str) -> object:
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document


def _guess_language(text: str) -> str | None:
    """None where no language's words are commoner than all others'."""
    words = [word.casefold() for word in _WORD.findall(text)]
    counts = {name: sum(word in own for word in words) for name, own in _FUNCTION_WORDS.items()}
    first, second = sorted(counts.values(), reverse=True)[:2]
    return None if first == second else max(counts, key=lambda name: counts[name])


_RULES: Final[Mapping[str, Callable[[str], _Check | None]]] = {
    "one of the answers named": _find_options,
    "one label": _find_line,
    "JSON alone": _find_json,
    "the keys named": _find_keys,
    "at most so many words": _find_words,
    "at most so many sentences": _find_sentences,
    "no whole sentence": _find_no_sentence,
    "the language named": _find_language,
}
