from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.record.pieces import redact_in_pieces
from router.record.redact import Redactor

ALL = Redactor(["email", "phone", "card", "iban", "secret"])

JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"
    ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
)
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq\nq8s=\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("write to bob@example.com.", "write to [email]."),
        ("<Jo.O'Neill+tag@mail.ex-ample.co.uk>", "<[email]>"),
        ("'bob@example.com', \"amy@example.org\"", "'[email]', \"[email]\""),
        ("mailto:bob@example.com?subject=x", "mailto:[email]?subject=x"),
        ("jörg@bücher.de und ира@почта.рф", "[email] und [email]"),
        ("a@b.co;c@d.co,e@f.co", "[email];[email],[email]"),
        ("user@xn--80ak6aa92e.xn--p1ai", "[email]"),
        ("x@" * 50 + "example.com", "x@" * 49 + "[email]"),
    ],
)
def test_emails(text: str, redacted: str) -> None:
    assert Redactor(["email"]).text(text) == redacted


@pytest.mark.parametrize(
    "text",
    ["npm i @types/node@18.0.0", "logo@2x.png", "bob@localhost", "@bob", "a @ b.com", "5 @ 3.50"],
)
def test_not_emails(text: str) -> None:
    assert ALL.text(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("call +49 171 2345678 today", "call [phone] today"),
        ("+49 (0)30 1234567", "[phone]"),
        ("+1-212-555-0142", "[phone]"),
        ("+442079460958", "[phone]"),
        ("0049 30 1234567", "[phone]"),
        ("(212) 555-0142", "[phone]"),
        ("212-555-0142x5", "[phone]x5"),
        ("1.212.555.0142", "[phone]"),
        ("0171 2345678 or 030/1234567", "[phone] or [phone]"),
        ("(0171) 234 56 78", "[phone]"),
        ("01 23 45 67 89 01 98 76 54 32", "[phone] [phone]"),
        ("01.23.45.67.89", "[phone]"),
        ("tel:+4930901820,42", "tel:[phone],42"),
        ("+49 171 2345678 5 boots", "[phone] 5 boots"),
        ("+49 171 2345678. 3 boots", "[phone]. 3 boots"),
        ("+49\u00a0171\u20112345678", "[phone]"),
        ("+49 171 2345678\n+49 171 8765432", "[phone]\n[phone]"),
    ],
)
def test_phones(text: str, redacted: str) -> None:
    assert Redactor(["phone"]).text(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "order FF-48213",
        "orders FF-48213, FF-48214 and FF-4821300",
        "invoice RE-0301234567 and #0301234567",
        "2024-01-15",
        "2024-01-15T10:30:00.123456Z",
        "on 15.01.2024 at 10:30",
        "05.11.24 1030, 05/11/2024 10:30, 05 11 2024 10 30",
        "01-15-2024 12 34",
        "from 08:30 to 17:45, 09.12.2024-10.12.2024",
        "192.168.100.200 and 10.0.0.1",
        "costs 1,234,567.00 or 1.234.567,00 EUR",
        "0.1234567890 and 3.141592653589793",
        "document 0012345678",
        "size 42, 43, 44, 45, 46, 47, 48",
        "version 1.20.300.4000",
        "ISBN 978-3-16-148410-0",
        "zip 10115-1234 Berlin",
        "epoch 1700000000 and 1700000000000",
        "550e8400-e29b-41d4-a716-446655440000",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_orders_dates_and_other_numbers_stay(text: str) -> None:
    assert ALL.text(text) == text


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "4111 - 1111 - 1111 - 1111",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111\u20131111\u20131111\u20131111",
        "4222222222222",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "30569309025904",
        "3530111333300000",
        "6304000000000000",
    ],
)
@pytest.mark.parametrize("around", ["{}", "card {} 12/26 123", "4, {},05/27", "x{}y", "7 {} 7"])
def test_cards(number: str, around: str) -> None:
    text = around.format(number)
    assert Redactor(["card"]).text(text) == around.format("[card]")


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "41111111111111111",
        "9111111111111119",
        "356938035643809",
        "52.4111111111111111",
        "1234 5678 9012 3456",
        "4111 1111 1111",
        "0000000000000000",
    ],
)
def test_not_cards(text: str) -> None:
    assert Redactor(["card"]).text(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("DE89370400440532013000", "[iban]"),
        ("IBAN: DE89 3704 0044 0532 0130 00 und danke", "IBAN: [iban] und danke"),
        ("de89 3704 0044 0532 0130 00.", "[iban]."),
        ("DE89-3704-0044-0532-0130-00", "[iban]"),
        ("GB29 NWBK 6016 1331 9268 19 PLEASE", "[iban] PLEASE"),
        ("FR1420041010050500013M02606EUR", "[iban]EUR"),
        ("NO9386011117947", "[iban]"),
        ("MT84MALT011000012345MTLCAST001S", "[iban]"),
        ("DE89370400440532013000,DE89370400440532013000", "[iban],[iban]"),
    ],
)
def test_ibans(text: str, redacted: str) -> None:
    assert ALL.text(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "DE88370400440532013000",
        "DE8937040044053201300",
        "DE893704004405320130001",
        "XX89370400440532013000",
        "DE89  3704 0044 0532 0130 00",
        "ADE89370400440532013000",
        "DE12",
        "part NO93 8601 blue",
    ],
)
def test_not_ibans(text: str) -> None:
    assert Redactor(["iban"]).text(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("key sk-proj-Ab12Cd34Ef56Gh78Ij90 ok", "key [secret] ok"),
        ("OPENAI_API_KEY=sk-1234567890abcdef", "OPENAI_API_KEY=[secret]"),
        ("sk_live_" + "4eC39HqLyjWDarjtT1", "[secret]"),
        ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
        ("ghp_" + "a1" * 18, "[secret]"),
        (f"token {JWT}.", "token [secret]."),
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer [secret]"),
        ("bearer 0123456789abcdef0123", "bearer [secret]"),
        ('"Authorization": "Bearer abcdefghijklmnopqrst"', '"Authorization": "Bearer [secret]"'),
        (f"a\n{PEM}\nb", "a\n[secret]\nb"),
        (PEM.replace("\n", "\\n"), "[secret]"),
        (f"{PEM} and {PEM}", "[secret] and [secret]"),
        (f"-----BEGIN PRIVATE KEY-----\n{'A' * 64}\n{'b' * 30}", "[secret]"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nxsBNBF\n-----END PGP PRIVATE KEY BLOCK-----",
         "[secret]"),
        (f"-----BEGIN EC PRIVATE KEY-----\n{'A' * 64}\nthen {PEM} end",
         "[secret]\nthen [secret] end"),
    ],
)  # fmt: skip
def test_secrets(text: str, redacted: str) -> None:
    assert Redactor(["secret"]).text(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "task-force-2024-quarterly-report",
        "sk-learn-is-not-a-key-at-all",
        "the bearer of responsibilities-and-honours",
        "AKIA is a prefix",
        "eyJust kidding.really.yes",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_not_secrets(text: str) -> None:
    assert Redactor(["secret"]).text(text) == text


def test_only_the_chosen_kinds_are_redacted() -> None:
    text = "bob@example.com 4111111111111111"
    assert Redactor(["card"]).text(text) == "bob@example.com [card]"
    assert Redactor([]).text(text) == text


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="passport"):
        Redactor(["passport"])  # type: ignore[list-item]


def test_json_is_redacted_throughout_and_copied() -> None:
    request = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "I'm bob@example.com"}]}
        ],
        "bob@example.com": 1,
        "amy@example.com": {"card": 4111111111111111, "n": 4111111111111112, "ok": True},
        "temperature": 0.5,
        "none": None,
    }
    before = json.dumps(request)
    assert ALL.json(request) == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "I'm [email]"}]}],
        "[email]": 1,
        "[email]#2": {"card": "[card]", "n": 4111111111111112, "ok": True},
        "temperature": 0.5,
        "none": None,
    }
    assert json.dumps(request) == before


def test_json_may_be_nested_beyond_the_recursion_limit() -> None:
    value: Any = "bob@example.com"
    for _ in range(20_000):
        value = [value]
    inner = ALL.json(value)
    while isinstance(inner, list):
        inner = inner[0]
    assert inner == "[email]"


messy = st.text(st.sampled_from("a1 0.@-+()/4DE89:\nsk_eyJ"), max_size=80)


finds = st.sampled_from(
    [
        *("bob@example.com", "+49 171 2345678", "(212) 555-0142", "4111 1111 1111 1111", PEM, JWT),
        *("DE89 3704 0044 0532 0130 00", "MT84 MALT 0110 0001 2345 MTLC AST0 01S", "sk-abcdefgh12"),
        *("Authorization: Bearer\nabcdefghijklmnop1", "4111.1111.1111.1111", "01 23 45 67 89"),
        *(
            ",",
            ";",
            "<",
            ">",
            "{",
            "}",
            "?",
            "|",
            " ",
            "\n",
            "1",
            "word",
            "sk-",
            "@",
            "-----BEGIN ",
        ),
    ]
)


@given(parts=st.lists(st.one_of(finds, messy), max_size=12), size=st.integers(1, 40))
def test_in_pieces_is_as_in_one(parts: list[str], size: int) -> None:
    text = "".join(parts)
    assert redact_in_pieces(ALL._rules, text, size) == ALL.text(text)


async def test_what_is_prepared_costs_nothing_on_the_event_loop() -> None:
    body = {"messages": [{"role": "user", "content": "call 0171 2345678, or 49,90 EUR " * 20_000}]}
    redactor = Redactor(["email", "phone", "card", "iban", "secret"])
    started_s = time.process_time()
    expected = redactor.json(body)
    at_once_s = time.process_time() - started_s
    await redactor.prepare(body)
    started_s = time.process_time()
    assert redactor.json(body) == expected
    assert time.process_time() - started_s < at_once_s / 5
    redactor.change(["email"])  # what was prepared by other rules no longer counts
    assert redactor.json(body) == body


@given(text=st.one_of(messy, st.text()))
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = ALL.text(text)
    assert ALL.text(once) == once


HOSTILE = [
    "a", "a.", "1", "1 ", "01 ", "a@", "a@a.", "DE89 ", "eyJaaaaaaaa.", "-----BEGIN KEY-----",
    "-----BEGIN ", "-----BEGIN A KEY-----\nMIIEowIBAAKCAQEA\n", "4111 ", "(212) ", "bearer a",
    "+49 171 2345678 ", "A-: ", "'",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear_in_the_length(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        started = time.process_time()
        ALL.text(text)
        return time.process_time() - started

    short = min(seconds(20_000) for _ in range(3))
    # Quadratic time would be 64-fold; the constant absorbs the timer's grain and a busy machine.
    long = min(seconds(160_000) for _ in range(3))
    assert long < 25 * short + 0.2
