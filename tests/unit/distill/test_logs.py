"""Logs in OpenAI's format as records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from distill.logs import Importer, read_logged
from distill.streams import StreamError
from router.auth import Caller
from router.record.model import Interaction
from router.record.redact import Redactor
from router.record.subject import pseudonym_of
from tests.unit.distill.learning_rows import allow

NOW = 1_800_000_000.0
BODY = {"model": "big", "messages": [{"role": "user", "content": "where"}], "temperature": 0}
COMPLETION = {
    "id": "c1",
    "model": "big-2026",
    "created": 1_799_000_000,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "parcel"}, "finish_reason": "stop"}
    ],
}
TRAINING = {"messages": [*BODY["messages"], {"role": "assistant", "content": "parcel"}]}  # type: ignore[misc]


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ({"request": BODY, "response": COMPLETION}, 1_799_000_000.0),
        ({"custom_id": "1", "body": BODY, "response": {"body": COMPLETION}}, 1_799_000_000.0),
        ({"request": {"body": BODY}, "response": json.dumps(COMPLETION)}, 1_799_000_000.0),
        (
            {"timestamp": "2027-01-02T03:04:05Z", "request": BODY, "response": COMPLETION},
            1_798_859_045.0,
        ),
        ({"id": "1", "request": BODY, "teacher": {"content": "parcel"}}, None),
        (TRAINING, None),
    ],
)
def test_the_forms_that_are_understood(line: dict[str, Any], at: float | None) -> None:
    logged = read_logged(encode(line))
    assert logged.answer.content == "parcel"
    assert logged.request.messages == BODY["messages"]
    assert logged.at == at


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "no JSON"),
        (b"[]", "no object"),
        (encode({"response": COMPLETION}), "no chat-completions request"),
        (encode({"request": {"prompt": "x"}, "response": COMPLETION}), "no chat-completions"),
        (encode({"request": BODY}), "no answer"),
        (encode({"request": BODY, "response": {"error": {"message": "x"}}}), "no answer"),
        (encode({"request": BODY, "response": {"choices": [{"message": {}}]}}), "no answer"),
        (encode({"messages": BODY["messages"]}), "no answer"),
    ],
)
def test_what_cannot_be_used_says_why(line: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_logged(line)


def imported(
    path: Path, lines: Sequence[Any], **changes: Any
) -> tuple[list[Interaction], Counter[str]]:
    path.write_text("\n".join(json.dumps(line) for line in lines))
    importer = Importer(
        **{
            "settings": allow("teacher"),
            "redactor": Redactor(("email",)),
            "caller": Caller(key_name="k", tenant="t", train_on=True),
            "teacher": "teacher",
            "workload": "shop",
            "oldest": NOW - 90 * 86_400,
            "now": NOW,
            **changes,
        }
    )
    left_out: Counter[str] = Counter()
    return list(importer.read(path, left_out)), left_out


def test_a_line_becomes_a_record_that_may_be_learned_from(tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": "I am jo@example.com"}], "user": "jo"}
    (record,), left_out = imported(
        tmp_path / "log.jsonl", [{"request": body, "response": COMPLETION}]
    )
    assert (record.workload, record.tenant, record.key_name) == ("shop", "t", "k")
    assert (record.teacher_model, record.teacher_version) == ("teacher", "big-2026")
    assert (record.created_at, record.comparer, record.reason) == (
        1_799_000_000.0,
        "label",
        "imported",
    )
    assert record.input_text == "I am [email]"
    assert record.request is not None
    assert "example" not in str(record.request)
    assert record.request["user"] == pseudonym_of("t", "jo")
    assert record.train_ok
    assert not left_out


def test_the_same_line_is_the_same_record(tmp_path: Path) -> None:
    lines = [{"request": BODY, "response": COMPLETION, "n": n} for n in (1, 2)]
    first, _ = imported(tmp_path / "a", lines)
    again, _ = imported(tmp_path / "b", lines[::-1])
    other, _ = imported(tmp_path / "c", lines, workload="else")
    ids = [record.id for record in first]
    assert ids == [record.id for record in again][::-1]
    assert len({*ids, *(record.id for record in other)}) == 4


def test_what_is_too_old_or_not_to_be_stored_is_left_out(tmp_path: Path) -> None:
    old = {"created_at": NOW - 91 * 86_400, "request": BODY, "response": COMPLETION}
    secret = {"request": {**BODY, "tutelage": {"store": False}}, "response": COMPLETION}
    records, left_out = imported(tmp_path / "log", [old, secret, TRAINING])
    assert left_out == {"older than data.retention_days": 1, "store: false": 1}
    assert [record.created_at for record in records] == [NOW]


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    importer = Importer(
        settings=allow("teacher"),
        redactor=Redactor(()),
        caller=Caller(key_name="", tenant="", train_on=True),
        teacher="teacher",
        workload=None,
        oldest=0.0,
        now=NOW,
    )
    with pytest.raises(StreamError, match="does not exist"):
        list(importer.read(tmp_path / "nope", Counter()))
