"""Teachers that score tokens they did not write: what on-policy distillation needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import numpy as np
import torch
from torch import Tensor

from distill.train.losses.compose import TopK
from distill.train.losses.sequence import IGNORED
from distill.train.recipes.base import Base
from distill.train.recipes.batch import Batch, answer_logits
from distill.train.topk import pack_rows

_TOKENS_A_CALL = 2048
"""How many token ids are compared at once."""


class TeacherError(RuntimeError):
    """The teacher could not score; the message says why."""


class ScoringTeacher(Protocol):
    """``name``: as the manifest calls it; ``vocabulary``: as in ``base.hash_vocabulary``; ``tier``:
    one of ``preflight.TIERS``."""

    @property
    def name(self) -> str: ...

    @property
    def vocabulary(self) -> str: ...

    @property
    def tier(self) -> str: ...

    def score(self, batch: Batch) -> Tensor | TopK:
        """Logits (B, T, V), or a top-k (B, T, k), in the places of ``batch.labels``."""
        ...


@dataclass(frozen=True, kw_only=True)
class LocalTeacher:
    """A model in this process: the full vocabulary."""

    model: Any
    vocabulary: str
    name: str = "a model in this process"
    tier: str = "full vocabulary"

    def score(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            return answer_logits(self.model, batch)


@dataclass(frozen=True, kw_only=True)
class VllmTeacher:
    """A model behind vLLM, which gives the log-probabilities of a prompt's tokens.

    ``k``: at most what the server was started with (``--max-logprobs``, 20 unless told); one
    request per sequence, in turn.
    """

    client: httpx.Client
    model: str
    vocabulary: str
    k: int = 20
    tier: str = "top-k"

    @property
    def name(self) -> str:
        return self.model

    def score(self, batch: Batch) -> TopK:
        width = batch.labels.shape[1]
        ids = np.full((len(batch.labels), width, self.k), -1, dtype=np.int64)
        log_probs = np.full(ids.shape, -np.inf)
        for i, (row, attended) in enumerate(zip(batch.input_ids, batch.attention, strict=True)):
            answer = int((batch.labels[i] != IGNORED).sum())
            given = self._ask(row[attended.bool()].tolist())[-answer:]
            packed = pack_rows(given, self.k)
            ids[i, width - answer :], log_probs[i, width - answer :] = packed.unpack()
        return TopK(ids=torch.from_numpy(ids), log_probs=torch.from_numpy(log_probs).float())

    def _ask(self, tokens: list[int]) -> list[dict[int, float]]:
        body = {
            "model": self.model,
            "prompt": tokens,
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": self.k,
        }
        try:
            reply = self.client.post("/v1/completions", json=body)
            reply.raise_for_status()
            scored = reply.json()["choices"][0]["prompt_logprobs"]
            rows = [
                {int(token): float(entry["logprob"]) for token, entry in (place or {}).items()}
                for place in scored
            ]
        except (httpx.HTTPError, KeyError, IndexError, TypeError, ValueError) as error:
            raise TeacherError(
                f"The teacher {self.model} gave no prompt_logprobs: is it vLLM? ({error})"
            ) from error
        if len(rows) != len(tokens):
            raise TeacherError(f"The teacher scored {len(rows)} of {len(tokens)} tokens.")
        return rows


def open_scorer(given: Mapping[str, str | float | None], base: Base) -> VllmTeacher:
    """The teacher behind ``given["upstream"]``, a vLLM's address that ends in ``/v1``.

    ``given``: ``model``, as the server calls it; ``key_env``: the variable of this process that
    holds its key, or None; ``timeout_s``. Raises TeacherError where the server can't be asked, and
    where it writes any token id of the base's in another way: by its hash alone a vocabulary can't
    be known from afar.
    """
    model, key_env = str(given["model"]), given["key_env"]
    headers = {}
    if key_env is not None:
        if not os.environ.get(str(key_env)):
            raise TeacherError(f"The scorer's key is missing where it trains: set {key_env}.")
        headers["authorization"] = f"Bearer {os.environ[str(key_env)]}"
    client = httpx.Client(
        base_url=str(given["upstream"]).removesuffix("/").removesuffix("/v1"),
        headers=headers,
        timeout=given["timeout_s"],
    )
    for start in range(0, len(base.tokenizer), _TOKENS_A_CALL):
        ids = list(range(start, min(start + _TOKENS_A_CALL, len(base.tokenizer))))
        if _write_ids(client, model, ids) != base.tokenizer.decode(ids):
            raise TeacherError(
                f"The scorer {model} and the base {base.name} have different vocabularies, so "
                "their token ids mean different things: use the recipe sequence, or a base with "
                "the scorer's tokenizer."
            )
    return VllmTeacher(client=client, model=model, vocabulary=base.vocabulary)


def _write_ids(client: httpx.Client, model: str, ids: list[int]) -> str | None:
    """The text of token ids; None where the server doesn't know them all."""
    try:
        reply = client.post("/detokenize", json={"model": model, "tokens": ids})
        if reply.status_code == httpx.codes.BAD_REQUEST:
            return None
        reply.raise_for_status()
        return str(reply.json()["prompt"])
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
        raise TeacherError(
            f"The scorer {model} can't tell how it writes tokens: is it vLLM? ({error})"
        ) from error
