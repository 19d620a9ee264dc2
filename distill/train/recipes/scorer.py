"""A teacher behind vLLM, which tells the log-probabilities of tokens that it did not write."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import torch

from distill.train.losses.compose import TopK
from distill.train.losses.sequence import IGNORED
from distill.train.recipes.base import Base
from distill.train.recipes.batch import Batch
from distill.train.recipes.teachers import TeacherError
from distill.train.topk import TopKError, pack_rows
from router.upstream.retry import FIRST_BACKOFF_S, is_retryable

_TOKENS_A_CALL = 2048
"""How many token ids are compared at once."""

_AT_ONCE = 16
_IDLE_S = 3.0
"""vLLM closes a connection that was idle for five seconds."""

_SAID = 300
"""So many characters of what a server says are passed on."""


@dataclass(frozen=True, kw_only=True)
class VllmTeacher:
    """``tokens``: how many token ids the student knows; mass that the teacher gives to others
    counts to the tail. ``k``: at most what the server was started with (``--max-logprobs``, 20
    unless told). ``retries``: further tries where a server is busy or out of reach. One request per
    sequence, ``_AT_ONCE`` at a time."""

    client: httpx.Client
    model: str
    vocabulary: str
    tokens: int
    k: int = 20
    retries: int = 2
    weights: str = ""
    context: int | None = None
    tier: str = "top-k"

    @property
    def name(self) -> str:
        """What its scores depend on: its name, its weights as the server calls them, else the
        server's address, and k."""
        return f"{self.model} ({self.weights or self.client.base_url}), top {self.k}"

    def score(self, batch: Batch) -> TopK:
        """See ``ScoringTeacher``. Raises TeacherError."""
        width = batch.labels.shape[1]
        ids = np.full((len(batch.labels), width, self.k), -1, dtype=np.int64)
        log_probs = np.full(ids.shape, -np.inf)
        rows = zip(batch.input_ids, batch.attention, strict=True)
        prompts = [row[attended.bool()].tolist() for row, attended in rows]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            scored = list(pool.map(self.ask, prompts))
        for i, places in enumerate(scored):
            answer = int((batch.labels[i] != IGNORED).sum())
            try:
                packed = pack_rows(places[-answer:], self.k)
            except TopKError as error:
                raise TeacherError(
                    f"The scorer {self.model} gave no log-probabilities: {error}."
                ) from error
            ids[i, width - answer :], log_probs[i, width - answer :] = packed.unpack()
        return TopK(ids=torch.from_numpy(ids), log_probs=torch.from_numpy(log_probs).float())

    def ask(self, tokens: list[int]) -> list[dict[int, float]]:
        """Per token of a prompt the likeliest tokens in its place, as far as the student knows
        them, with their log-probabilities in nats; nothing for the first. Raises TeacherError."""
        body = {
            **{"model": self.model, "prompt": tokens, "prompt_logprobs": self.k},
            **{"max_tokens": 1, "temperature": 0},
        }
        said = self.post("/v1/completions", body)
        try:
            rows = [
                {int(token): float(entry["logprob"]) for token, entry in (place or {}).items()}
                for place in said["choices"][0]["prompt_logprobs"]
            ]
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise TeacherError(
                f"The scorer {self.model} gave no prompt_logprobs: is it vLLM?"
            ) from error
        if len(rows) != len(tokens):
            raise TeacherError(
                f"The scorer {self.model} scored {len(rows)} of {len(tokens)} tokens."
            )
        return [{one: row[one] for one in row if one < self.tokens} for row in rows]

    def write(self, ids: list[int]) -> str:
        """The text of token ids. Raises TeacherError."""
        said = self.post("/detokenize", {"model": self.model, "tokens": ids})
        if not isinstance(said, dict) or not isinstance(said.get("prompt"), str):
            raise TeacherError(
                f"The scorer {self.model} can't tell how it writes tokens: is it vLLM?"
            )
        return str(said["prompt"])

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What the server answers, tried again while it is busy or out of reach."""
        for tried in range(self.retries + 1):
            if tried:
                time.sleep(FIRST_BACKOFF_S * 2 ** (tried - 1))
            try:
                reply = self.client.post(path, json=body)
            except httpx.TransportError as error:
                why = f"could not be asked: {type(error).__name__} {error}".rstrip()
                continue
            if reply.is_success:
                return _read(reply)
            why = f"answered {reply.status_code} to {path}: {_reason(reply)}"
            if not is_retryable(reply.status_code, reply.headers):
                break
        raise TeacherError(f"The scorer {self.model} {why}")


def open_scorer(given: Mapping[str, Any], base: Base) -> VllmTeacher:
    """The teacher at ``given["upstream"]``, a vLLM's address that ends in ``/v1``.

    ``given``: ``model``, as the server calls it; ``key_env``: the variable of this process that
    holds its key, or None; ``top``: of how many tokens in each place it is asked; ``connect_s``,
    ``total_s``, ``retries``. Asks what the server serves,
    how it writes every token id of the base's, since by a hash alone a vocabulary can't be known
    from afar, and for one score. Raises TeacherError where any of it fails or differs.
    """
    client = httpx.Client(
        base_url=str(given["upstream"]).removesuffix("/").removesuffix("/v1"),
        headers=_sign(given["key_env"]),
        timeout=httpx.Timeout(given["total_s"], connect=given["connect_s"]),
        limits=httpx.Limits(max_connections=_AT_ONCE, keepalive_expiry=_IDLE_S),
        trust_env=False,  # as the gateway's own calls: what is taught goes through no proxy
    )
    served = _find_served(client, given["model"])
    teacher = VllmTeacher(
        client=client,
        model=given["model"],
        vocabulary=base.vocabulary,
        tokens=len(base.tokenizer),
        k=given["top"],
        retries=given["retries"],
        weights=str(served.get("root", "")),
        context=served.get("max_model_len"),
    )
    for start in range(0, teacher.tokens, _TOKENS_A_CALL):
        ids = list(range(start, min(start + _TOKENS_A_CALL, teacher.tokens)))
        if teacher.write(ids) != base.tokenizer.decode(ids):
            raise TeacherError(
                f"The scorer {teacher.model} and the base {base.name} have different vocabularies, "
                "so their token ids mean different things: use the recipe sequence, or a base with "
                "the scorer's tokenizer."
            )
    teacher.ask([0, 1])
    return teacher


def _sign(key_env: str | None) -> dict[str, str]:
    if key_env is None:
        return {}
    key = os.environ.get(key_env, "")
    # What a header can't carry would be told, and the key with it.
    if not key.isascii() or not key.isprintable() or key != key.strip() or not key:
        raise TeacherError(
            "The scorer's key is missing, or has blanks or characters that no header may have: "
            f"set {key_env} where the training runs."
        )
    return {"authorization": f"Bearer {key}"}


def _find_served(client: httpx.Client, model: str) -> dict[str, Any]:
    """The server's own entry of a model; empty where it lists none."""
    try:
        listed = client.get("/v1/models").json()["data"]
        return next((dict(one) for one in listed if one["id"] == model), {})
    except (httpx.HTTPError, KeyError, TypeError, ValueError):
        return {}


def _read(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError:
        return None


def _reason(reply: httpx.Response) -> str:
    """What the server says is wrong, in one line. Careless servers quote the key."""
    said = _read(reply)
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    text = said if isinstance(said, str) else reply.text
    key = reply.request.headers.get("authorization", "").removeprefix("Bearer ")
    text = text.replace(key, "***") if key else text
    return " ".join(text.split())[:_SAID] or "nothing more"
