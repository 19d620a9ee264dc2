"""Every error that a connection can raise, and every answer that is none, has its meaning."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

import pytest

from router.upstream.connection import Closed, NotConnected, NotHttp, Silent
from router.upstream.failures import (
    Failure,
    describe_error,
    from_empty_stream,
    from_exception,
    from_nonsense,
    from_rejection,
    read_answer,
)
from router.upstream.model import CallFailed, CallRejected, CallTimedOut, UpstreamTarget
from router.upstream.pool import BadAddress
from router.wire.form import Form

SECRET = "sk-very-secret-key"
TARGET = UpstreamTarget(
    key="teacher",
    base_url="https://api.example.com/v1",
    model="m",
    api_key=SECRET,
    connect_timeout_s=2,
    first_byte_timeout_s=30,
    total_timeout_s=120,
)

CASES: list[tuple[Any, bool, type[Exception], str]] = [
    (NotConnected("x"), True, CallTimedOut, "no connection within 2 s"),
    (Silent("x"), False, CallTimedOut, "silent for 30 s"),
    (TimeoutError(), False, CallTimedOut, "no complete answer within 120 s"),
    (ConnectionRefusedError(111, "x"), True, CallFailed, "connection refused"),
    (OSError("Multiple exceptions"), True, CallFailed, "connection failed"),
    (socket.gaierror(-2, "x"), True, CallFailed, "host name"),
    (ssl.SSLError(1, "x"), False, CallFailed, "handshake"),
    (ssl.SSLCertVerificationError(1, "x"), False, CallFailed, "certificate"),
    (ConnectionResetError(104, "x"), True, CallFailed, "reset by peer"),
    (Closed("the connection was closed"), True, CallFailed, "connection was closed"),
    (NotHttp("it does not speak HTTP"), False, CallFailed, "HTTP"),
    (BadAddress("its address is not a valid URL"), False, CallFailed, "valid URL"),
    (BrokenPipeError(32, "x"), True, CallFailed, "broken pipe"),
]


@pytest.mark.parametrize(("exc", "retryable", "kind", "said"), CASES)
def test_what_a_connection_raises(
    exc: Any, retryable: bool, kind: type[Exception], said: str
) -> None:
    failure = from_exception(exc, TARGET, answered=False)
    assert isinstance(failure.error, kind)
    assert failure.retryable is retryable
    assert said in failure.reason
    assert said in failure.error.message
    assert "'teacher'" in failure.error.message
    assert failure.error.message.endswith(".")
    assert SECRET not in failure.error.message


@pytest.mark.parametrize("exc", [case[0] for case in CASES[1:]])
def test_nothing_is_tried_again_once_an_answer_had_begun(exc: Any) -> None:
    assert not from_exception(exc, TARGET, answered=True).retryable


# rejections


def test_a_json_error_passes_as_it_came() -> None:
    raw = b'{ "error": {"message": "slow down"} }'
    headers = {"retry-after": "2", "retry-after-ms": "2000", "x-should-retry": "true", "via": "p"}
    failure = from_rejection(429, headers, raw, TARGET)
    assert isinstance(failure.error, CallRejected)
    assert (failure.error.status, failure.error.body()) == (429, raw)
    assert failure.error.headers == {
        "retry-after": "2",
        "retry-after-ms": "2000",
        "x-should-retry": "true",
    }
    assert failure.headers == headers
    assert failure.retryable


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (503, b"<html>nginx</html>"),
        (500, b""),
        (500, b"[1]"),
        (500, b"null"),
        (500, b'"text"'),
        (500, b"\xff"),
        (500, b"[" * 100_000),
        (500, None),
        (307, b'{"a": 1}'),
    ],
)
def test_anything_else_is_a_502_that_tells_the_status_alone(status: int, raw: bytes | None) -> None:
    failure = from_rejection(status, {"retry-after": "7"}, raw, TARGET)
    assert isinstance(failure.error, CallFailed)
    assert failure.error.status == 502
    assert str(status) in failure.error.message
    assert "nginx" not in failure.error.message
    assert failure.error.headers == {"retry-after": "7"}
    assert failure.retryable is (status >= 500)


def test_statuses_that_stay_and_upstreams_that_say_so_are_not_retried() -> None:
    assert not from_rejection(400, {}, b"{}", TARGET).retryable
    assert not from_rejection(503, {"x-should-retry": "false"}, b"{}", TARGET).retryable


def test_an_upstream_that_quotes_our_key() -> None:
    raw = json.dumps({"error": {"message": f"Incorrect API key: {SECRET}"}}).encode()
    body = from_rejection(401, {}, raw, TARGET).error.body()
    assert json.loads(body) == {"error": {"message": "Incorrect API key: ***"}}
    message = from_nonsense(f"an error instead: bad key {SECRET}", TARGET).error.message
    assert SECRET not in message
    assert "bad key ***" in message


def test_placeholder_keys_do_not_garble_words() -> None:
    target = UpstreamTarget(key="t", base_url="http://h/v1", model="m", api_key="EMPTY")
    raw = b'{"error": "EMPTY prompt"}'
    assert from_rejection(400, {}, raw, target).error.body() == raw


def test_nonsense_is_not_asked_for_twice_but_a_stream_that_never_began_is() -> None:
    failures: list[Failure] = [from_nonsense("HTML", TARGET), from_empty_stream(TARGET)]
    assert [failure.retryable for failure in failures] == [False, True]
    assert all(isinstance(failure.error, CallFailed) for failure in failures)


# answers

MESSAGE = {"message": {"role": "assistant", "content": "a"}}


def test_a_completion_is_read() -> None:
    payload = {"choices": [MESSAGE, MESSAGE], "x": 1}
    assert read_answer(json.dumps(payload).encode(), Form.CHAT) == payload


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"<html></html>", "not JSON"),
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no answer"),
        (b"null", "not JSON"),
        (b"{}", "no choices"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": {}}', "no choices"),
        (b'{"choices": [1]}', "no message"),
        (b'{"choices": [{"text": "x"}]}', "no message"),
        (b'{"choices": [{"message": null}]}', "no message"),
        (b'{"error": {"message": "overloaded."}}', "an error instead: overloaded"),
    ],
)
def test_what_is_no_completion_is_named(raw: bytes, said: str) -> None:
    answer = read_answer(raw, Form.CHAT)
    assert isinstance(answer, str)
    assert said in answer


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"choices": []}, None),
        ({"error": None, "choices": []}, None),
        ({"error": "broken"}, "an error instead: broken"),
        ({"error": {"message": "b" * 400}}, "an error instead: " + "b" * 300),
        ({"error": {"code": 5}}, "an error instead"),
        ({"type": "error", "message": "overloaded"}, "an error instead: overloaded"),
        ({"type": "response.created", "response": {"error": None}}, None),
        ({"response": {"error": {"message": "too busy"}}}, "an error instead: too busy"),
    ],
)
def test_error_objects(payload: dict[str, Any], said: str | None) -> None:
    assert describe_error(payload) == said
