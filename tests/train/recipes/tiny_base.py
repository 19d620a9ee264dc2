"""A language model of a few thousand weights over characters, and examples for it."""

from __future__ import annotations

import string
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from distill.train.examples import Example
from distill.train.recipes.base import Base, hash_vocabulary

TEMPLATE = (
    "{% for m in messages %}{{ '<' + m['role'][0] + '>' + m['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<a>' }}{% endif %}"
)


def character_tokenizer(characters: str = string.ascii_lowercase + " ") -> PreTrainedTokenizerFast:
    words = ["<pad>", "</s>", "<a>", "<u>", "<unk>", *characters]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    backend.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="</s>",
        additional_special_tokens=["<a>", "<u>"],
    )
    made.chat_template = TEMPLATE
    return made


def tiny_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0, width: int = 32) -> object:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def tiny_base(seed: int = 0) -> Base:
    tokenizer = character_tokenizer()
    return Base(
        name="tiny",
        digest="0" * 64,
        vocabulary=hash_vocabulary(tokenizer),
        model=tiny_model(tokenizer, seed),
        tokenizer=tokenizer,
    )


def save_tiny(folder: Path) -> None:
    base = tiny_base()
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)


def copying(count: int = 24, **more: object) -> list[Example]:
    """The answer repeats the question's first letter."""
    letters = string.ascii_lowercase
    return [
        Example(
            id=str(i),
            messages=({"role": "user", "content": letters[i % 26] + letters[(7 * i) % 26]},),
            answer=letters[i % 26] * 3,
            licence="allowed",
            **more,  # type: ignore[arg-type]
        )
        for i in range(count)
    ]
