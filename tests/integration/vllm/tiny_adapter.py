"""Adapters in peft's format, written by hand: random and mild, each says something of its own.

Training is not what is tested here. The safetensors format: the length of a JSON header as eight
bytes, the header with name, type, shape and offsets, then the numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

RANK = 4


def write_random_adapter(folder: Path, base_model: Path, seed: int, strength: float = 0.3) -> Path:
    """LoRA of rank 4 on the query and value projections of every layer of the base model."""
    config: dict[str, Any] = json.loads((base_model / "config.json").read_text())
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    width = config.get("head_dim") or hidden // heads
    outputs = {"q_proj": heads * width, "v_proj": config["num_key_value_heads"] * width}
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for name, size in outputs.items():
            where = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            down = rng.standard_normal((RANK, hidden)) / np.sqrt(hidden)
            tensors[f"{where}.lora_A.weight"] = down.astype(np.float32)
            up = strength * rng.standard_normal((size, RANK))
            tensors[f"{where}.lora_B.weight"] = up.astype(np.float32)
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(_to_safetensors(tensors))
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base_model),
        "r": RANK,
        "lora_alpha": RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(outputs),
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def _to_safetensors(tensors: dict[str, np.ndarray[Any, np.dtype[np.float32]]]) -> bytes:
    header, parts, at = {}, [], 0
    for name, tensor in tensors.items():
        raw = tensor.tobytes()
        offsets = [at, at + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)
