"""Examples → token ids, as they will be when the student is asked: the prompt by itself, then the
answer, until the token that ends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from distill.train.examples import Example


class EncodingError(ValueError):
    """The chat template doesn't let the answer be told from the prompt."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """``prompt``, ``answer``: token ids, the answer's with its end; ``reasoning``: per answer
    token, whether it is of the trace; ``drafts``: the ranked drafts' ids, the best first."""

    example: Example
    prompt: Sequence[int]
    answer: Sequence[int]
    reasoning: Sequence[bool]
    drafts: Sequence[Sequence[int]] = ()

    @property
    def tokens(self) -> int:
        longest = max((len(draft) for draft in self.drafts), default=0)
        return len(self.prompt) + max(len(self.answer), longest)


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """``too_long``: how many were left out."""

    rows: Sequence[Encoded]
    too_long: int


def encode(examples: Iterable[Example], tokenizer: Any, *, max_tokens: int) -> Encoding:
    """Encode all that fit. Raises EncodingError."""
    encoded = [encode_one(example, tokenizer) for example in examples]
    kept = [row for row in encoded if row.tokens <= max_tokens]
    return Encoding(rows=kept, too_long=len(encoded) - len(kept))


def encode_one(example: Example, tokenizer: Any) -> Encoded:
    """One example. Raises EncodingError."""
    messages = [dict(message) for message in example.messages]
    prompt = _render(tokenizer, messages, open_answer=True)
    answer, reasoning = _span(tokenizer, messages, prompt, example.answer, example.reasoning_chars)
    return Encoded(
        example=example,
        prompt=tokenizer(prompt, add_special_tokens=False)["input_ids"],
        answer=answer,
        reasoning=reasoning,
        drafts=[_span(tokenizer, messages, prompt, draft.text, 0)[0] for draft in example.ranked()],
    )


def _span(
    tokenizer: Any, messages: list[dict[str, Any]], prompt: str, text: str, trace: int
) -> tuple[list[int], list[bool]]:
    whole = _render(tokenizer, [*messages, {"role": "assistant", "content": text}])
    if not whole.startswith(prompt):
        raise EncodingError(
            "the chat template writes a prompt differently once its answer is there, so the "
            "answer's span is unknown: give the base model a template with a generation prompt"
        )
    tokens = tokenizer(
        whole[len(prompt) :], add_special_tokens=False, return_offsets_mapping=trace > 0
    )
    ids = list(tokens["input_ids"])
    if tokenizer.eos_token_id not in ids:
        raise EncodingError(
            f"the chat template doesn't end an answer with {tokenizer.eos_token!r}: a student "
            "trained on it would never stop"
        )
    ids = ids[: ids.index(tokenizer.eos_token_id) + 1]
    if trace == 0:
        return ids, [False] * len(ids)
    return ids, [start < trace for start, _ in tokens["offset_mapping"][: len(ids)]]


def _render(tokenizer: Any, messages: list[dict[str, Any]], *, open_answer: bool = False) -> str:
    if tokenizer.chat_template is None:
        raise EncodingError(
            "the base model's tokenizer has no chat template: choose an instruct model, or add one"
        )
    rendered: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=open_answer
    )
    return rendered
