"""Personal data and secrets out of texts, before anything is kept.

Each find is replaced by a stable placeholder (``[email]``, ``[card]``, …), so redacted texts stay
comparable with each other. Rules prefer proof over looks: a card number must pass Luhn's check,
an IBAN has its country's length and mod-97 check, a phone number isn't a date. Every pattern
runs in linear time on any input.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Literal

from router.record.pieces import find_texts, redact_in_pieces

Kind = Literal["email", "phone", "card", "iban", "secret"]

_ORDER: Final[tuple[Kind, ...]] = ("secret", "email", "iban", "card", "phone")
"""A token may hold digits that look like a card, an IBAN some that look like a phone."""

_PLACEHOLDER: Final = re.compile(rf"\[(?:{'|'.join(_ORDER)})\]")


def is_redacted(text: str) -> bool:
    """Whether something was taken out of the text, or it looks as if."""
    return _PLACEHOLDER.search(text) is not None


_prepared: ContextVar[tuple[object, Mapping[str, str]] | None] = ContextVar(
    "prepared", default=None
)
"""Rules, and what they made of the texts of the request that is being answered."""


class Redactor:
    """Replaces the given kinds of personal data. Thread-safe; redacting twice changes nothing."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self.change(kinds)

    def change(self, kinds: Sequence[Kind]) -> None:
        """Replace these kinds from now on. Raises ValueError for one that is unknown."""
        unknown = set(kinds) - set(_ORDER)
        if unknown:
            raise ValueError(f"unknown kind of personal data: {sorted(unknown)[0]}")
        self._rules = [_RULES[kind] for kind in _ORDER if kind in kinds]
        self._cards = "card" in kinds

    @property
    def is_on(self) -> bool:
        """Whether anything is to be replaced."""
        return bool(self._rules)

    async def prepare(self, value: Any) -> None:
        """Redact the texts of a large request in a thread, in pieces between which others get
        their turn; in what follows in this task they are redacted already."""
        rules = self._rules

        def redact() -> dict[str, str]:
            return {text: redact_in_pieces(rules, text) for text in find_texts(value)}

        _prepared.set((rules, await asyncio.to_thread(redact)))

    def text(self, text: str) -> str:
        """``text`` with every find replaced."""
        prepared = _prepared.get()
        if prepared is not None and prepared[0] is self._rules and text in prepared[1]:
            return prepared[1][text]
        for rule in self._rules:
            text = rule(text)
        return text

    def json(self, value: Any) -> Any:
        """A copy of a JSON value with its texts, keys and card-like integers redacted; the value
        itself where nothing is to be redacted.

        Objects in which two keys become the same number the later ones: ``[email]#2``.
        """
        if not self._rules:
            return value
        # A stack instead of recursion: a client chooses how deeply its JSON is nested.
        pending: list[list[Any] | dict[str, Any]] = []
        redacted = self._copy(value, pending)
        while pending:
            container = pending.pop()
            if isinstance(container, list):
                container[:] = [self._copy(item, pending) for item in container]
            else:
                for key, item in container.items():
                    container[key] = self._copy(item, pending)
        return redacted

    def _copy(self, item: Any, pending: list[list[Any] | dict[str, Any]]) -> Any:
        """A redacted text or number; a shallow copy of the rest, ``pending`` its inner values."""
        if isinstance(item, str):
            return self.text(item)
        if isinstance(item, list | tuple):
            values = list(item)
            pending.append(values)
            return values
        if isinstance(item, Mapping):
            fields: dict[str, Any] = {}
            for key, inner in item.items():
                fields[_free_key(fields, self.text(str(key)))] = inner
            pending.append(fields)
            return fields
        if self._cards and isinstance(item, int) and 10**12 <= item < 10**19:
            return "[card]" if _is_card(str(item)) else item
        return item


def _free_key(taken: Mapping[str, Any], key: str) -> str:
    if key not in taken:
        return key
    number = 2
    while f"{key}#{number}" in taken:
        number += 1
    return f"{key}#{number}"


# A run of these characters is tried once, from its start: the look-behind keeps later starts out.
_EMAIL = re.compile(
    r"(?<![\w.+%'&*!#$~-])['.+%&*!#$~-]*+(?P<address>\w[\w.+%'&*!#$~-]*+"
    r"@(?:[^\W_][\w-]*\.)+(?P<top>xn--[a-z0-9-]+|[^\W\d_]{2,}))",
    re.IGNORECASE,
)
_FILE_ENDINGS: Final = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js"})


def _hide_emails(text: str) -> str:
    def hide(match: re.Match[str]) -> str:
        if match["top"].lower() in _FILE_ENDINGS:  # logo@2x.png
            return match[0]
        return match[0][: match.start("address") - match.start()] + "[email]"

    return _EMAIL.sub(hide, text) if "@" in text else text


_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2212"
_BLANKS: Final = " \t\u00a0\u2007\u2009\u202f"

# Most texts hold no number as long as a phone's, and this is much faster to see.
_NUMBER = re.compile(r"\d(?:[^\d\n]{0,3}\d){7}")
# Digits with up to three blanks or dashes between them; not the decimals of a number, "0.4111…".
_DIGIT_RUN = re.compile(rf"\d(?<!\d\d)(?<!\d\.\d)(?:[{_BLANKS}{_DASHES}-]{{0,3}}\d){{12,}}(?!\d)")
_DOTTED_CARD = re.compile(r"(?<![\d.])\d{4}\.\d{4}\.\d{4}\.\d{4}(?![\d.]\d)")

# First and last leading four digits, and lengths, longest first. Whatever else passes Luhn's check
# (every tenth number does by chance, every IMEI by design) is left alone.
_CARDS: Final = (
    (4000, 4999, (19, 16, 13)),  # Visa
    (5100, 5599, (16,)),  # Mastercard
    (2221, 2720, (16,)),
    (3400, 3499, (15,)),  # American Express
    (3700, 3799, (15,)),
    (3000, 3059, (19, 16, 14)),  # Diners Club
    (3600, 3699, (19, 16, 14)),
    (3800, 3999, (19, 16, 14)),
    (3528, 3589, (19, 18, 17, 16)),  # JCB
    (5000, 5099, (19, 18, 17, 16)),  # Maestro and national cards
    (5600, 5899, (19, 18, 17, 16)),
    (6000, 6999, (19, 18, 17, 16)),  # Discover, UnionPay, Maestro, RuPay
    (8100, 8199, (19, 18, 17, 16)),  # UnionPay
)


def _card_sizes(lead: str) -> tuple[int, ...]:
    """The lengths that a card beginning with these four digits may have."""
    for low, high, sizes in _CARDS:
        if low <= int(lead) <= high:
            return sizes
    return ()


def _passes_luhn(digits: str) -> bool:
    number = [int(digit) for digit in digits]
    doubled = sum(2 * digit - 9 * (digit > 4) for digit in number[-2::-2])
    return (sum(number[-1::-2]) + doubled) % 10 == 0


def _is_card(digits: str) -> bool:
    """A brand's first digits and length, and Luhn's check."""
    return len(digits) in _card_sizes(digits[:4]) and _passes_luhn(digits)


def _hide_cards(text: str) -> str:
    def hide_dotted(match: re.Match[str]) -> str:
        return "[card]" if _is_card(match[0].replace(".", "")) else match[0]

    if not _NUMBER.search(text):
        return text
    return _DIGIT_RUN.sub(_hide_in_run, _DOTTED_CARD.sub(hide_dotted, text))


def _hide_in_run(match: re.Match[str]) -> str:
    """Cards within a run of digits, which may hold a date or another number on either side."""
    run = match[0]
    places = [at for at, char in enumerate(run) if char.isdigit()]
    digits = "".join(run[at] for at in places)
    # Cards begin and end with a group of digits: where a digit doesn't directly follow another.
    breaks = {n for n, at in enumerate(places) if n == 0 or places[n - 1] != at - 1}
    breaks.add(len(places))
    out: list[str] = []
    done = 0
    for first in sorted(breaks)[:-1]:
        if places[first] < done:
            continue
        for size in _card_sizes(digits[first : first + 4]):
            end = first + size
            if end in breaks and _passes_luhn(digits[first:end]):
                out += (run[done : places[first]], "[card]")
                done = places[end - 1] + 1
                break
    return "".join((*out, run[done:]))


# Lengths by country, from the SWIFT IBAN registry.
_IBAN_LENGTHS: Final[Mapping[str, int]] = {
    country: length
    for length, countries in (
        (15, "NO"), (16, "BE"), (18, "DK FI FK FO GL NL SD"), (19, "MK SI"),
        (20, "AT BA EE KZ LT LU MN XK"), (21, "CH HR LI LV"), (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ OM SO TL"), (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "LY PT ST"), (26, "IS TR"), (27, "BI DJ FR GR IT MC SM"),
        (28, "AL AZ BY CY DO GT HU LB NI PL SV"), (29, "BR EG PS QA UA"),
        (30, "JO KW MU YE"), (31, "MT SC"), (32, "LC"), (33, "RU"),
    )
    for country in countries.split()
}  # fmt: skip
# Country and check digits at the start of a word, found by the digits because they are rarer.
_IBAN_CHECK = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}[0-9]{2})(?<![A-Za-z0-9][A-Za-z]{2}[0-9]{2})")
_IBAN_SEPARATORS: Final = frozenset(f"{_BLANKS}{_DASHES}-.")


def _hide_ibans(text: str) -> str:
    out: list[str] = []
    done = 0
    for match in _IBAN_CHECK.finditer(text):
        start = match.start() - 2
        if start >= done and (end := _iban_end(text, start)):
            out += (text[done:start], "[iban]")
            done = end
    return "".join((*out, text[done:]))


def _iban_end(text: str, start: int) -> int:
    """Where the IBAN that starts at ``start`` ends; 0 where it isn't one."""
    length = _IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
    compact = ""
    at = start
    while len(compact) < length and at < len(text):
        char = text[at]
        if char.isascii() and char.isalnum():
            compact += char.upper()
        elif char not in _IBAN_SEPARATORS or text[at - 1] in _IBAN_SEPARATORS:
            return 0
        at += 1
    if not length or len(compact) < length:
        return 0
    if at < len(text) and text[at].isdigit():
        return 0
    number = "".join(str(int(char, 36)) for char in compact[4:] + compact[:4])
    return at if int(number) % 97 == 1 else 0


_GAP: Final = rf"(?:[{_BLANKS}{_DASHES}./-]| ?[()] ?| [/{_DASHES}-] |\) ?[/-] ?)?"
_DATE: Final = (
    r"\d{1,2}(?P<s>[./-])\d{1,2}(?P=s)(?:\d{4}|\d{2})(?!\d|(?P=s)\d)"
    r"|\d{1,2} \d{1,2} (?:19|20)\d{2}(?!\d)"
)
_PHONE = re.compile(
    # Not inside a word, a number or a reference such as #0301234567 or FF-0301234567.
    rf"(?<![\w#@+*/])(?<!\d[.:-])(?<!\w[-_])(?!{_DATE})(?:"
    # +49 (0)30 1234567
    rf"\+[1-9](?:{_GAP}\d){{7,14}}(?<=\d\d)(?!\d)"
    # 0049 30 1234567; shorter ones are rather numbers padded with zeros
    rf"|00[1-9](?:{_GAP}\d){{9,13}}(?<=\d\d)(?!\d)"
    # (212) 555-0142, 212-555-0142, 1.212.555.0142
    r"|(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}(?!\d|[.-]\d)"
    # 01 23 45 67 89, so written and no longer
    r"|0[1-9](?P<g>[ .-])\d{2}(?:(?P=g)\d{2}){3}(?!\d)"
    # 030 1234567, (0171) 234 56 78
    rf"|\(?0[1-9](?:{_GAP}\d){{7,10}}(?<=\d\d)(?![\d%€$£]|[.:-]\d|[-_]?[A-Za-z])"
    r")"
)


def _hide_phones(text: str) -> str:
    return _PHONE.sub("[phone]", text) if _NUMBER.search(text) else text


_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?P<plain>[srp]k[-_][A-Za-z0-9_-]{16,}+)"  # OpenAI, Stripe and who copied them
    r"|A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|gh[opsur]_[A-Za-z0-9]{30,}+|github_pat_\w{30,}+"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}+"  # Slack
    r"|AIza[A-Za-z0-9_-]{35}"  # Google
    r"|eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)?"  # JWT
    r")"
)
_TOKEN_SIGNS: Final = (
    "sk-", "sk_", "rk-", "rk_", "pk-", "pk_", "AKIA", "ASIA", "gho_", "ghp_", "ghs_", "ghu_",
    "ghr_", "github_pat_", "xox", "AIza", "eyJ",
)  # fmt: skip
_BEARER = re.compile(
    r"(?<![A-Za-z0-9])(?P<head>(?P<named>authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?)?"
    r"bearer\s{1,4})(?P<token>[A-Za-z0-9._~+/-]{16,}+={0,2})",
    re.IGNORECASE,
)
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}KEY(?: BLOCK)?-----")
# No group repeats possessively: Python 3.11.2 then ends behind a repetition that failed halfway.
_KEY_BODY = re.compile(
    r"(?:\s*+[A-Za-z-]++: [^\n]*+)*"  # Proc-Type: 4,ENCRYPTED
    r"(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{16,}+)*"
)


def _hide_secrets(text: str) -> str:
    text = _hide_private_keys(text)
    if any(sign in text for sign in _TOKEN_SIGNS):
        text = _TOKENS.sub(_hide_token, text)
    return _BEARER.sub(_hide_bearer, text) if "bearer" in text.lower() else text


def _hide_token(match: re.Match[str]) -> str:
    plain = match["plain"]
    # Words joined by hyphens may start like a key, but they hold no digit.
    return match[0] if plain and not _has_digit(plain) else "[secret]"


def _hide_bearer(match: re.Match[str]) -> str:
    if not match["named"] and not _has_digit(match["token"]):
        return match[0]
    return f"{match['head']}[secret]"


def _has_digit(token: str) -> bool:
    return any(char.isdigit() for char in token)


def _hide_private_keys(text: str) -> str:
    """Blocks from BEGIN to END; of one that was cut off, what looks like its body."""
    begins = list(_KEY_BEGIN.finditer(text))
    if not begins:
        return text
    ends = list(_KEY_END.finditer(text))
    out: list[str] = []
    done, next_end = 0, 0
    for begin, following in zip(begins, [*begins[1:], None], strict=True):
        limit = following.start() if following else len(text)
        while next_end < len(ends) and ends[next_end].start() < begin.end():
            next_end += 1
        out += (text[done : begin.start()], "[secret]")
        if next_end < len(ends) and ends[next_end].end() <= limit:
            done = ends[next_end].end()
        else:
            body = _KEY_BODY.match(text, begin.end(), limit)
            done = body.end() if body else begin.end()
    return "".join((*out, text[done:]))


_RULES: Final[Mapping[Kind, Callable[[str], str]]] = {
    "email": _hide_emails,
    "phone": _hide_phones,
    "card": _hide_cards,
    "iban": _hide_ibans,
    "secret": _hide_secrets,
}
