"""A teacher behind vLLM: what it scores, and what is said where it can't. The server is a stand-in
that answers as vLLM 0.32 does; ``tests/integration/vllm/test_scoring.py`` asks a real one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from typing import Any

import httpx
import pytest

torch = pytest.importorskip("torch")

from distill.train.recipes.batch import collate  # noqa: E402
from distill.train.recipes.encode import encode  # noqa: E402
from distill.train.recipes.preflight import TrainingRefused, check_encoding  # noqa: E402
from distill.train.recipes.recipe import make_recipe  # noqa: E402
from distill.train.recipes.scorer import VllmTeacher, open_scorer  # noqa: E402
from distill.train.recipes.teachers import TeacherError  # noqa: E402
from tests.train.recipes.tiny_base import character_tokenizer, copying, tiny_base  # noqa: E402

pytestmark = pytest.mark.train

TOKENIZER = character_tokenizer()
BEYOND = len(TOKENIZER)
"""A token id that the student doesn't know."""


class Server(ThreadingHTTPServer):
    """``failures``: statuses to answer before anything else; ``hits``: how often it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Vllm)
        self.failures: list[int] = []
        self.hits = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Vllm(BaseHTTPRequestHandler):
    """Answers as vLLM does: nothing for the first token, then the prompt's log-probabilities."""

    server: Server

    def do_GET(self) -> None:
        self._answer(200, {"data": [{"id": "big", "root": "/weights", "max_model_len": 20}]})

    def do_POST(self) -> None:
        body = loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.hits += 1
        if self.server.failures:
            status = self.server.failures.pop()
            given = self.headers["authorization"] or ""
            self._answer(status, {"error": {"message": f"Not\n now. {given}", "code": status}})
        elif body["model"] == "silent":
            self._answer(200, {"choices": [{"text": "a"}], "prompt": None})
        elif body["model"] == "unsure":
            self._answer(200, {"choices": [{"prompt_logprobs": [{"3": {"logprob": 2.0}}] * 9}]})
        elif self.path == "/detokenize":
            self._answer(200, {"prompt": TOKENIZER.decode(body["tokens"])})
        else:
            self._answer(200, {"choices": [{"prompt_logprobs": _score(body["prompt"])}]})

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        raw = dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


def _score(prompt: list[int]) -> list[Any]:
    places = [
        {str(token): {"logprob": -0.25}, "3": {"logprob": -2}, str(BEYOND): {"logprob": -3}}
        for token in prompt
    ]
    return [None, *places[1:]]


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.train.recipes.scorer.FIRST_BACKOFF_S", 0.0)


def given(server: Server, **more: Any) -> dict[str, Any]:
    usual = {"upstream": server.url, "model": "big", "key_env": None}
    return {**usual, "top": 20, "connect_s": 2.0, "total_s": 20.0, "retries": 2, **more}


def make(server: Server, model: str = "big") -> VllmTeacher:
    client = httpx.Client(base_url=server.url.removesuffix("/v1"))
    return VllmTeacher(client=client, model=model, vocabulary="v", tokens=BEYOND, k=3)


def test_it_scores_in_the_labels_places(server: Server) -> None:
    rows = encode(copying(2), TOKENIZER, max_tokens=99).rows
    batch = collate(rows, 0, [rows[0].answer, rows[1].answer[:2]])
    top = make(server).score(batch)
    assert torch.equal(top.ids[0, :, 0], batch.labels[0])
    # What the student doesn't know is no place of its own: its mass is the tail's.
    assert top.ids[1].tolist() == [
        [-1, -1, -1],
        [-1, -1, -1],
        [rows[1].answer[0], 3, -1],
        [rows[1].answer[1], 3, -1],
    ]
    assert top.log_probs[0, 0].tolist()[:2] == pytest.approx([-0.25, -2.0], abs=2e-4)


def test_it_is_opened_where_it_writes_tokens_as_the_base_does(server: Server) -> None:
    base = tiny_base()
    teacher = open_scorer(given(server), base)
    assert (teacher.vocabulary, teacher.tokens) == (base.vocabulary, BEYOND)
    assert teacher.context == 20
    assert teacher.name == "big (/weights), top 20"
    rows = encode(copying(2), TOKENIZER, max_tokens=99)
    check_encoding(make_recipe("standard"), rows, context=teacher.context)
    with pytest.raises(TrainingRefused, match=r"takes 19 tokens, but a prompt .* lower"):
        check_encoding(make_recipe("on_policy", new_tokens=40), rows, context=teacher.context)
    with pytest.raises(TrainingRefused, match="takes 5 tokens, but an example has"):
        check_encoding(make_recipe("standard"), rows, context=6)


def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.failures = [503, 429]
    assert make(server).ask([5, 6])[0] == {}
    assert server.hits == 3
    server.failures = [503, 503, 503]
    with pytest.raises(TeacherError, match=r"answered 503 to /v1/completions: Not now\.$"):
        make(server).ask([5, 6])


def test_a_refusal_is_told_once_and_in_the_servers_words(server: Server) -> None:
    server.failures = [401]
    with pytest.raises(TeacherError, match=r"scorer big answered 401 .*: Not now\."):
        make(server).ask([5, 6])
    assert server.hits == 1


def test_a_server_that_does_not_score_is_told(server: Server) -> None:
    with pytest.raises(TeacherError, match="gave no prompt_logprobs"):
        make(server, "silent").ask([5, 6])
    with pytest.raises(TeacherError, match="can't tell how it writes tokens"):
        make(server, "silent").write([5])
    rows = encode(copying(1), TOKENIZER, max_tokens=99).rows
    with pytest.raises(TeacherError, match=r"scored 9 of \d tokens|gave no log-probabilities"):
        make(server, "unsure").score(collate(rows, 0))


def test_a_server_that_is_away_is_told() -> None:
    client = httpx.Client(base_url="http://127.0.0.1:9")
    teacher = VllmTeacher(client=client, model="big", vocabulary="v", tokens=9)
    with pytest.raises(TeacherError, match="could not be asked: ConnectError"):
        teacher.ask([1])


def test_a_server_that_quotes_the_key_is_not_quoted_with_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCORER_KEY", "sk-secret")
    server.failures = [401]
    with pytest.raises(TeacherError, match=r"answered 401 .*: Not now\. Bearer \*\*\*$"):
        open_scorer(given(server, key_env="SCORER_KEY"), tiny_base())


@pytest.mark.parametrize("key", ["", "sk-secret\r", "sk-secret ", "sk-sécret"])
def test_a_key_that_no_header_carries_is_named_and_not_told(
    key: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCORER_KEY", key)
    with pytest.raises(TeacherError, match="set SCORER_KEY") as raised:
        open_scorer(given(server, key_env="SCORER_KEY"), tiny_base())
    assert "secret" not in str(raised.value)
    assert server.hits == 0
