"""A tuned encoder → int8 ONNX, as onnxruntime serves it, and the proof that it is the same."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from distill.train.encoder.layers import encode
from distill.train.encoder.tuning import TuningError
from router.students.encoder import Encoder, make_tokenizer

LEAST_COSINE = 0.97
"""Between what torch makes of a text and what the exported int8 file does, on average."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """``digest``: sha256 of ``path``, which it names; ``cosine``: mean between torch's vectors and
    the file's, over the texts that were checked."""

    path: Path
    digest: str
    cosine: float


class _Plain(nn.Module):  # type: ignore[misc]
    """Three tensors in, hidden states out: what the router's encoder calls."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        found = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types)
        hidden: torch.Tensor = found.last_hidden_state
        return hidden


def export(model: Any, folder: Path, texts: Sequence[str]) -> Exported:
    """Write ``folder/<digest>.onnx``; the file appears whole or not at all.

    ``model``: in evaluation mode; ``texts``: to compare it on. Raises TuningError where what would
    serve isn't what was trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=folder) as drafts:
        whole, small = Path(drafts) / "float.onnx", Path(drafts) / "int8.onnx"
        ids = torch.ones(2, 8, dtype=torch.int64)
        names = ["input_ids", "attention_mask", "token_type_ids"]
        axes = {0: "texts", 1: "tokens"}
        torch.onnx.export(
            _Plain(model).eval(),
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(whole),
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes=dict.fromkeys((*names, "last_hidden_state"), axes),
            opset_version=17,
            dynamo=False,
        )
        quantize_dynamic(str(whole), str(small), weight_type=QuantType.QInt8, per_channel=True)
        digest = hashlib.sha256(small.read_bytes()).hexdigest()
        cosine = _compare(model, small, digest, texts)
        if not cosine >= LEAST_COSINE:
            raise TuningError(
                f"The int8 encoder differs from the trained one (cosine {cosine:.3f}): "
                "lower the learning rate, or train it longer."
            )
        target = folder / f"{digest}.onnx"
        os.replace(small, target)
    return Exported(path=target, digest=digest, cosine=cosine)


def _compare(model: Any, path: Path, digest: str, texts: Sequence[str]) -> float:
    tokenizer = make_tokenizer()
    trained = encode(model, [one.ids for one in tokenizer.encode_batch(list(texts))])
    served = Encoder(weights=path, digest=digest).encode(texts)
    return float((trained.numpy() * served).sum(axis=1).mean())
