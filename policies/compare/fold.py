"""Differences in writing that carry no meaning.

Every fold here is a function of one text, and folding twice changes nothing more. What is left
alone matters more than what is folded: texts that fold to the same one count as the same answer.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Compatibility forms that only look different: width, ligatures, Arabic shapes, fixed spaces.
# Superscripts, fractions, circles and mathematical alphabets mean something: 10² is not 102.
_FORMS = frozenset(
    {
        "<wide>",
        "<narrow>",
        "<small>",
        "<noBreak>",
        "<compat>",
        "<initial>",
        "<medial>",
        "<final>",
        "<isolated>",
        "<vertical>",
    }
)
_INVISIBLE_SPACES = "\u200b\u2060\ufeff"
_QUOTES = frozenset(
    {'""', "''", "``", "“”", "„“", "„”", "‘’", "‚‘", "«»", "»«", "‹›", "「」", "『』"}
)
_HYPHENS = frozenset("-\u2010")
_JOINERS = re.compile("[_\\-\u2010\u2019]")
_FULL_STOPS = frozenset(".。")
_WORD_STOPS = frozenset(",;:!")
_NEVER_BEFORE_A_STOP = frozenset(".。,;:!?…\n ")

_SHORT = 256
"""Texts up to this length are remembered with their fold: answers and questions recur, with every
learning cycle and every comparison."""


def fold_text(text: str) -> str:
    """Fold Unicode composition (NFC), line endings, and white space at the very end."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", lines).rstrip()


def fold_label(text: str) -> str:
    """Fold case, width, white space, word joiners, and the quotes and full stop around a label.

    Returns "" only for a text of nothing but white space.
    """
    return _fold_short(text) if len(text) <= _SHORT else _fold(text)


def _fold(text: str) -> str:
    folded = _collapse_space(_fold_case(_fold_forms(text)))
    return _strip_wrapping(_join_words(folded))


@lru_cache(maxsize=16_384)
def _fold_short(text: str) -> str:
    return _fold(text)


def _fold_forms(text: str) -> str:
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFD", "".join(map(_fold_form, decomposed)))


def _fold_form(char: str) -> str:
    tag = unicodedata.decomposition(char).partition(" ")[0]
    # ⒈5 would read as 1.5: numbers of every kind keep their form.
    if tag not in _FORMS or unicodedata.category(char) == "No":
        return char
    return unicodedata.normalize("NFKC", char)


def _fold_case(decomposed: str) -> str:
    if decomposed.isascii():
        return decomposed.lower()
    return unicodedata.normalize("NFC", "".join(map(_fold_char_case, decomposed)))


def _fold_char_case(char: str) -> str:
    """Fold one letter to one letter.

    Full case folding would also write ß as ss and ᾳ as αι; but Maße are not Masse.
    """
    if unicodedata.combining(char):
        return char
    folded = char.casefold()
    return folded if len(folded) == 1 else char.lower()


def _collapse_space(text: str) -> str:
    """Make every run of white space one space; a line break inside stays one line break.

    Two lines may be two labels.
    """
    if " ".join(text.split()) == text == text.strip(_INVISIBLE_SPACES):
        return text
    trimmed = text.strip().strip(_INVISIBLE_SPACES)
    while trimmed != text:
        text, trimmed = trimmed, trimmed.strip().strip(_INVISIBLE_SPACES)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _join_words(text: str) -> str:
    """Write ``_`` and ``-`` between letters as a space, and the curly apostrophe as the plain one.

    Between two single letters a hyphen stays: A-C may be a range, x-y a difference. Beside a
    digit or a sign everything stays.
    """
    joiners = list(_JOINERS.finditer(text))
    if not joiners:
        return text
    chars = list(text)
    for joiner in joiners:
        at, char = joiner.start(), joiner.group()
        if not (_has_letter(text, at - 1) and _has_letter(text, at + 1)):
            continue
        in_word = _has_letter(text, at - 2) or _has_letter(text, at + 2)
        if char == "_" or (char in _HYPHENS and in_word):
            chars[at] = " "
        elif char == "\u2019":
            chars[at] = "'"
    return "".join(chars)


def _has_letter(text: str, at: int) -> bool:
    """False beyond the ends."""
    return 0 <= at < len(text) and _is_letter(text[at])


def _strip_wrapping(text: str) -> str:
    while True:
        inner = _collapse_space(_drop_stop(_unquote(text)))
        if inner == text:
            return text
        text = inner


def _unquote(text: str) -> str:
    """Drop one pair of quotes around the whole text; 5" and "yes" or "no" keep theirs."""
    inner = text[1:-1].strip()
    if not inner or text[0] + text[-1] not in _QUOTES:
        return text
    return text if text[0] in inner or text[-1] in inner else inner


def _drop_stop(text: str) -> str:
    """Drop one mark at the end that a sentence would have.

    Marks that say something stay: "yes?", "yes...", "5!" and "C:" are not "yes", "5" and "C".
    Brackets stay too, since (5) is a negative amount and [0, 1) is not (0, 1].
    """
    rest, stop = text[:-1], text[-1:]
    if not rest or rest[-1] in _NEVER_BEFORE_A_STOP:
        return text
    ends_in_word = len(rest) >= 2 and all(map(_is_letter, rest[-2:]))
    if stop in _FULL_STOPS or (stop in _WORD_STOPS and ends_in_word):
        return rest
    return text


def _is_letter(char: str) -> bool:
    return unicodedata.category(char).startswith("L")
